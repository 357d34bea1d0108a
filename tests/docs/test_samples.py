"""What pages show below a command is what the command prints: pages that are followed check theirs where they are.

Sessions, whose commands begin with `$`, are compared with one story on the local stack.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from docs.samples import below, differs, sessions
from docs.story import STORY, printed
from docs.walk import ROOT

PAGES = sorted(ROOT.glob("docs/**/*.md"))
# Below a block of commands: tests/docs/test_recipes.py and those that call walk.follow.
FOLLOWED = {"quickstart", "recipes", "copy", "sets", "coming-from", "disaster", "local", "console"}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    return printed(tmp_path_factory.mktemp("story"))


def test_every_session_is_part_of_the_story() -> None:
    shown = {sample.commands for page in PAGES for sample in sessions(page.read_text())}
    assert len(shown) > 25
    assert shown - set(STORY) == set()


def test_sessions_show_what_the_story_prints(story: Mapping[str, str]) -> None:
    samples = [sample for page in PAGES for sample in sessions(page.read_text())]
    found = [(sample.commands, differs(sample.shown, story[sample.commands])) for sample in samples]
    assert [one for one in found if one[1]] == []


def test_output_below_commands_is_shown_only_where_a_test_follows_the_page() -> None:
    with_samples = {page.stem for page in PAGES if any(sample.shown for sample in below(page.read_text()))}
    assert with_samples - FOLLOWED == set()


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("3 tables in 2.1 KB\n", "3 tables in 900 B\n", True),
        ("3 tables\n", "4 tables\n", False),
        ("a\n…\nz\n", "a\nb\nc\nz\n", True),
        ("a\n…\nz\n", "b\nz\n", False),
        ("granted … END\n", "granted this END\n", True),
        ("03:00:07 ready at 2026-01-31T03:00:00Z\n", "14:01:20 ready at 2026-12-02T14:01:20.887Z\n", True),
        ("ready 5 minutes ago\n", "ready just now\n", True),
        ("published\n", "published\nwarning\n", False),
    ],
)  # fmt: skip
def test_times_and_sizes_may_differ_and_nothing_else(shown: str, printed: str, same: bool) -> None:
    assert (differs(shown, printed) == "") is same


def test_a_page_shows_output_below_the_block_that_prints_it() -> None:
    page = "```sh\none\n```\n\n```text\nfirst\n```\n\n```sh\ntwo\n```\n\nText.\n\n```text\n$ three\nthird\n```\n"
    assert [(sample.commands, sample.shown) for sample in below(page)] == [("one\n", "first\n"), ("two\n", "")]
    assert [*sessions(page)] == [("three", "third\n")]
