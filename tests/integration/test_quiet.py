"""No command ends with a code other than 0 without a word, with --quiet too."""

from __future__ import annotations

import re
import shlex

import pytest

from integration.stage import Stage

# The exit code of each command where a file of the export was replaced.
REPLACED = {
    "verify": 4,
    "verify --read": 4,
    "restore --into back": 4,
    "drill": 4,
    "copy ./copy": 4,
}
# Commands whose jobs in BigQuery end with an error here.
FAILING = ("run --run-id r2 --format json", "restore --into back", "drill")


@pytest.fixture
def exported(stage: Stage) -> Stage:
    """An export of two tables, which the environment names."""
    stage.table("a", rows=3)
    stage.table("b")
    stage.run_tasks(1, execution="r1", path="{run}/{table}/{table}_*.{ext}")
    return stage


def test_a_replaced_file_is_named_whatever_reads_it(exported: Stage) -> None:
    exported.upload("r1/a/a_000000000000.csv", b"id,name\n9,x\n")
    ended = {line: exported.command(*shlex.split(line), "--quiet") for line in REPLACED}
    assert {line: called.code for line, called in ended.items()} == REPLACED
    assert {line for line, called in ended.items() if "r1/a/a_000000000000.csv" not in called.text} == set()


@pytest.mark.parametrize("line", FAILING)
def test_a_job_that_fails_is_named_with_its_table(exported: Stage, line: str) -> None:
    exported.stack.jobs(
        faults=[{"at": "run", "table": "^[a-z_]", "reason": "invalid", "message": "the cause", "times": 100}]
    )
    try:
        called = exported.command(*shlex.split(line), "--quiet")
    finally:
        exported.stack.jobs(faults=[])
    assert (called.code, called.out) == (3, ""), called.err
    for table in ("a", "b"):
        assert re.search(rf"error: {table}: .*: the cause$", called.err, re.MULTILINE), called.err
