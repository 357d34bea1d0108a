"""Which parts of all tests a change does not reach."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tiers import ASIDE
from untouched import changed, untouched


def git(folder: Path, *arguments: str) -> None:
    options = ("-c", "user.name=n", "-c", "user.email=e@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *options, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone of a repository of one commit."""
    origin, made = tmp_path / "origin", tmp_path / "clone"
    origin.mkdir()
    git(origin, "init")
    for name in ("old.py", "kept.py"):
        (origin / name).write_text(name * 100)
    git(origin, "add", ".")
    git(origin, "commit", "-m", "first")
    git(tmp_path, "clone", "origin", "clone")
    return made


def test_a_clone_of_what_is_to_be_tested_knows_no_landed_state(clone: Path) -> None:
    assert changed(clone) is None


def test_what_differs_from_the_landed_state_is_named_committed_or_not(clone: Path) -> None:
    git(clone, "mv", "old.py", "new é.py")
    git(clone, "commit", "-m", "second")
    (clone / "kept.py").write_text("changed")
    assert changed(clone) == ["kept.py", "new é.py", "old.py"]
    assert changed(clone, "HEAD~1") == ["kept.py", "new é.py", "old.py"]


def test_a_commit_that_does_not_lead_here_or_is_unknown_is_no_landed_state(clone: Path) -> None:
    git(clone, "checkout", "-b", "aside")
    git(clone, "commit", "--allow-empty", "-m", "aside")
    git(clone, "checkout", "main")
    git(clone, "commit", "--allow-empty", "-m", "second")
    assert [changed(clone, base) for base in ("aside", "nowhere", "HEAD")] == [None] * 3


@pytest.mark.parametrize(
    ("names", "left_out"),
    [
        (None, []),
        ([], list(ASIDE)),
        (["src/bqdump/export/run.py"], list(ASIDE)),
        (["src/bqdump_local/stack.py"], []),
        (["src/bqdump_local_extra/x.py"], list(ASIDE)),
        (["docs/copy.md"], ["stand-ins"]),
        (["tests/docs/walk.py"], ["stand-ins", "deployments"]),
        (["tests/local/test_fields.py"], ["deployments", "walks"]),
        (["tests/conftest.py"], []),
        (["requirements/dev.txt"], []),
        (["src/bqdump/cli/main.py", "Makefile"], []),
    ],
)
def test_a_part_is_left_out_where_nothing_that_it_is_about_has_changed(
    names: list[str] | None, left_out: list[str]
) -> None:
    assert untouched(names) == left_out
