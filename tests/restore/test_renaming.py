"""A table is restored under another name, also next to the live one, whatever interrupts it."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from bqdump.core.errors import UsageError
from bqdump.core.restore.names import is_scratch
from bqdump.core.restore.plan import Options
from bqdump.restoration.restore import restore_one as restore
from restore.killed import Killed, killed_at
from restore.test_objects import raw
from restore.world import INTO, ExportedWorld
from tiers import points

NEXT_TO_LIVE = Options(project="project", dataset="data", include=("one",), as_="one_yesterday")


def test_a_table_is_restored_next_to_the_live_one_without_a_confirmation() -> None:
    world = ExportedWorld()
    world.big.put("project", "data", "one", ["changed"])
    result = world.restore(NEXT_TO_LIVE)
    assert [(one.table, one.exported, one.action) for one in result.tables] == [("one_yesterday", "one", "create")]
    assert (world.rows("one", "data"), world.rows("one_yesterday", "data")) == (["changed"], ["a", "b"])
    assert world.definition("one_yesterday", "data").get("labels", {}) == {}


def test_the_same_command_again_compares_and_loads_nothing() -> None:
    world = ExportedWorld()
    first, jobs = world.restore(NEXT_TO_LIVE), len(world.big.started)
    assert world.restore(NEXT_TO_LIVE, "again") == first
    assert len(world.big.started) == jobs


def test_a_name_that_is_taken_is_refused_and_replaced_in_the_source_only_with_a_confirmation() -> None:
    world = ExportedWorld()
    world.big.put("project", "data", "one_yesterday", ["x"])
    before = world.store.names_now()
    with pytest.raises(UsageError, match="the dataset already has one_yesterday"):
        world.restore(NEXT_TO_LIVE)
    over = replace(NEXT_TO_LIVE, replace=True)
    with pytest.raises(UsageError, match="is the dataset that was exported"):
        world.restore(over)
    assert (world.rows("one_yesterday", "data"), world.store.names_now()) == (["x"], before)
    assert world.restore(over, yes=True).tables[0].action == "replace"
    assert (world.rows("one_yesterday", "data"), world.rows("one", "data")) == (["a", "b"], ["a", "b"])


def test_the_layout_of_a_table_to_be_replaced_is_that_of_its_new_name() -> None:
    world = ExportedWorld()
    world.big.put("project", "copy", "two", ["x"])
    dataset = asyncio.run(world.big.dataset("project", "copy"))
    asyncio.run(world.big.change_table(dataset, "two", raw({"clustering": {"fields": ["line"]}})))
    with pytest.raises(UsageError, match="two is clustered by line there, and neither partitioned nor clustered in"):
        world.restore(replace(INTO, include=("one",), as_="two", replace=True))
    assert world.rows("two") == ["x"]


def test_a_table_that_was_emptied_is_named_with_the_command_that_restores_it_under_its_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = ExportedWorld()
    world.restore(NEXT_TO_LIVE)
    world.big.put("project", "data", "one_yesterday", [])
    again = world.restore(NEXT_TO_LIVE, "again")
    assert [(one.name, one.reason) for one in again.failed] == [("one_yesterday", "changed")]
    command = (
        "bqdump.restore(run='r1', into='project.data', include='one', as_='one_yesterday', replace=True, yes=True)"
    )
    assert any(record.getMessage().endswith(command) for record in caplog.records)


def test_a_restore_next_to_the_live_table_that_is_killed_at_any_request_ends_the_same() -> None:
    for number in points(range(10_000)):
        world = ExportedWorld()
        try:
            asyncio.run(restore(killed_at(world.task(NEXT_TO_LIVE, "killed"), number)))
        except Killed:
            result = world.restore(NEXT_TO_LIVE, "again")
        else:
            break
        assert (result.state, result.failed) == ("restored", ()), number
        assert (world.rows("one_yesterday", "data"), world.rows("one", "data")) == (["a", "b"], ["a", "b"]), number
        present = asyncio.run(world.big.present(asyncio.run(world.big.dataset("project", "data"))))
        assert not [one.name for one in present if is_scratch(one.name)], number
    assert number > 20
