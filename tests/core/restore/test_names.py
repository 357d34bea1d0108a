"""Names of jobs, scratch tables and labels are valid, and equal for equal work only."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.core.restore.names import digest, is_scratch, job_id, mark_of, restore_id, scratch_name

NUMBERS = st.integers(0, 10**6)
WORK = st.tuples(NUMBERS, NUMBERS, st.sampled_from(["load", "insert", "copy"]), NUMBERS, NUMBERS)


@given(WORK)
def test_names_are_valid(work: tuple[int, int, str, int, int]) -> None:
    number, table, step, part, attempt = work
    restore = mark_of(restore_id(digest("run", 7), number), "01234567")
    assert re.fullmatch(r"[a-z0-9_-]{1,63}", restore)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,1024}", job_id(restore, table, step, part, attempt))
    assert re.fullmatch(r"[A-Za-z0-9_]{1,200}", scratch_name(restore, table))
    assert is_scratch(scratch_name(restore, table))


@given(WORK, WORK)
def test_other_work_has_other_jobs(one: tuple[int, int, str, int, int], two: tuple[int, int, str, int, int]) -> None:
    first, second = (job_id(restore_id("0123456789ab", work[0]), *work[1:]) for work in (one, two))
    assert (first == second) == (one == two)


def test_restores_of_one_id_have_other_marks_unless_an_earlier_release_gave_none() -> None:
    restore = restore_id("0123456789ab", 1)
    assert len({mark_of(restore, nonce) for nonce in ("", "0a", "0b")}) == 3
    assert mark_of(restore, "") == restore


def test_a_digest_follows_from_what_is_restored() -> None:
    assert digest("run", {"a": 1, "b": 2}) == digest("run", {"b": 2, "a": 1})
    assert digest("run", 1) != digest("run", 2)


@pytest.mark.parametrize("what", ["", "0123456789AB", "0123456789ab-1"])
def test_an_id_of_something_else_is_refused(what: str) -> None:
    with pytest.raises(ValueError, match="invalid restore id"):
        restore_id(what, 1)
