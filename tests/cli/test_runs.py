"""bqdump runs: what is typed as a tag is one, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import bqdump
from bqdump.cli.main import start
from bqdump.core.exit_codes import USAGE


@pytest.mark.parametrize("tag", ["", " "])
@pytest.mark.parametrize("flag", ["--tag", "--untag"])
def test_an_empty_tag_is_refused(flag: str, tag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["runs", flag, "keep", flag, tag, "nightly", "--to", str(tmp_path)]) == USAGE
    assert "it is empty" in capsys.readouterr().err
    with pytest.raises(bqdump.UsageError, match="not an empty string"):
        bqdump.tag("nightly", add=[tag], to=str(tmp_path))
