"""Tables with more partitions than one job may change."""

from __future__ import annotations

import asyncio

from bqdump.ports.warehouse import JobError
from bqdump.restoration.run import run as restore
from restore.killed import Killed, killed_at
from restore.world import ROWS, World

REFUSAL = JobError("invalid", "Too many partitions produced by query, allowed 4000, query produces at least 5000")


def world() -> World:
    """Load jobs into empty tables of the target are refused, those into scratch tables are not."""
    made = World()
    made.big.failing = lambda table, job: REFUSAL if "-load-" in job and not made.rows(table) else None
    return made


def test_such_a_table_is_filled_through_a_scratch_table() -> None:
    found = world()
    result = found.restore()
    assert (result.state, found.rows("one")) == ("restored", ["a", "b"])
    present = asyncio.run(found.big.present(asyncio.run(found.big.dataset("project", "copy"))))
    assert [one.name for one in present] == ["none", "one", "two"]


def test_it_may_be_killed_at_any_request() -> None:
    number = 0
    while True:
        found = world()
        try:
            asyncio.run(restore(killed_at(found.task(execution="killed"), number)))
        except Killed:
            result = found.restore(execution="again")
        else:
            break
        assert (result.state, result.failed) == ("restored", ()), number
        assert {name: found.rows(name) for name in ROWS} == ROWS, number
        number += 1
    assert number > 30
