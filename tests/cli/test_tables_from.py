"""--tables-from: the names in a file choose tables as --include does."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from bqdump.cli.choices import with_names
from bqdump.core.errors import UsageError


def written(folder: Path, content: bytes) -> str:
    (folder / "names.txt").write_bytes(content)
    return str(folder / "names.txt")


@pytest.mark.parametrize(
    "content",
    [
        b"orders\ncustomers\n",
        b"\xef\xbb\xbf# nightly\r\n\r\n  orders  # the largest\r\ncustomers\r\norders",
        b"orders, customers,",
    ],
)
def test_names_are_one_per_line_and_comments_are_left_out(tmp_path: Path, content: bytes) -> None:
    assert with_names(["t_*"], written(tmp_path, content)) == ("t_*", "orders", "customers")


def test_names_come_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("orders\n"))
    assert with_names([], "-") == ("orders",)


def test_without_a_file_the_patterns_stay() -> None:
    assert with_names(["a"], None) == ("a",)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "it names no table"),
        (b"# orders\n\n", "it names no table"),
        (b"\xff\xfe", "it is not UTF-8 text"),
        (None, "No such file or directory"),
    ],
)
def test_a_file_that_names_nothing_is_refused(tmp_path: Path, content: bytes | None, cause: str) -> None:
    file = str(tmp_path / "other.txt") if content is None else written(tmp_path, content)
    with pytest.raises(UsageError, match=rf"tables_from {file}: {cause}\."):
        with_names([], file)
