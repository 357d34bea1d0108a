"""The read route looks once more when a table has been read: no job tells of policies that came late."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import TablesFailedError
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.export.run import run
from bqdump.export.task import ReadRoute, Task
from bqdump.ports.reader import FileShape
from bqdump_memory import MemoryEncoder, MemoryReader, MemoryWarehouse

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), route="read")
NOW = 1_790_000_000_000


async def at_once(call: Callable[[], Any]) -> Any:
    return call()


class Warehouse(MemoryWarehouse):
    """Counts the requests for row access policies and for definitions, by table."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, lambda: NOW)
        self.asked: list[str] = []
        self.described: list[str] = []

    async def table(self, dataset: Dataset, name: str) -> Table | None:
        self.described.append(name)
        return await super().table(dataset, name)

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        self.asked.append(table)
        return await super().row_policies(dataset, table)


class LateEncoder(MemoryEncoder):
    """While a table is being read, something happens in the warehouse."""

    def __init__(self, happens: Callable[[], None]) -> None:
        self._happens = happens

    def encode(self, schema: bytes, batches: Any, shape: FileShape, file: Any) -> int:
        rows = super().encode(schema, batches, shape, file)
        self._happens()
        return rows


class DatasetWithPolicies:
    """A table `t` of ten rows, and one `other`."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.warehouse = Warehouse(self.store)
        for table in ("other", "t"):
            self.warehouse.put("p", "d", table, [f"row {number}" for number in range(10)])

    def export(self, happens: Callable[[], None] = lambda: None, **settings: Any) -> Manifest:
        """One run by the read route; `happens` while each table is being read."""
        reader = MemoryReader(self.warehouse, self.warehouse.clock)
        reading = ReadRoute(reader, LateEncoder(happens), 1, at_once)
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        task = Task(self.store, self.warehouse, chosen, "r", Owner("x", 0), 1, open_read_route=lambda: reading)
        asyncio.run(run(task))
        found = self.store.peek(chosen.layout.run("r").manifest.name)
        assert found
        return decode(found[0], Manifest, "manifest.json")

    def protect(self) -> None:
        """Put a policy on `t`."""
        self.warehouse.policies["t"] = ["eu"]

    def mask(self) -> None:
        """Put a policy tag on the column of `t`."""
        table = self.warehouse.datasets["p", "d"]["t"]
        tagged = bytes(table.definition).replace(b'"STRING"', b'"STRING","policyTags":{"names":["tag"]}')
        self.warehouse.datasets["p", "d"]["t"] = table._replace(definition=msgspec.Raw(tagged))

    def blind(self) -> None:
        """Take the right to see policies away."""
        self.warehouse.sees_policies = False


def told(manifest: Manifest) -> list[tuple[Risk, str]]:
    return [(flag.risk, flag.table) for flag in manifest.flags]


def test_a_policy_that_comes_while_the_table_is_read_fails_it_by_name() -> None:
    world = DatasetWithPolicies()
    with pytest.raises(TablesFailedError) as refused:
        world.export(world.protect)
    assert "1 of 2 tables failed" in refused.value.cause
    assert "t: row-policies: since it was planned: row access policies may hide rows" in refused.value.cause
    assert "--allow row-policies" in refused.value.cause


def test_where_policies_are_allowed_one_that_comes_late_is_named_in_the_manifest() -> None:
    world = DatasetWithPolicies()
    manifest = world.export(world.protect, allow=(Risk.ROW_POLICIES,))
    assert told(manifest) == [(Risk.ROW_POLICIES, "t")]
    assert {entry.table: entry.expected_rows for entry in manifest.tables}["t"] is None


def test_a_permission_to_list_policies_that_goes_while_tables_are_read_is_missed() -> None:
    reason = "unseen-row-policies: since it was planned: missing permission to list"
    with pytest.raises(TablesFailedError, match=reason):
        (world := DatasetWithPolicies()).export(world.blind)
    world = DatasetWithPolicies()
    manifest = world.export(world.blind, allow=(Risk.UNSEEN_ROW_POLICIES,))
    assert set(told(manifest)) == {(Risk.UNSEEN_ROW_POLICIES, table) for table in ("other", "t")}
    assert [entry.expected_rows for entry in manifest.tables] == [None, None]


def test_a_column_that_gets_masked_while_the_table_is_read_fails_it_by_name() -> None:
    world = DatasetWithPolicies()
    with pytest.raises(TablesFailedError) as refused:
        world.export(world.mask)
    assert "t: masked-columns: since it was planned: columns with policy tags or data masking" in refused.value.cause
    world = DatasetWithPolicies()
    assert told(world.export(world.mask, allow=(Risk.MASKED_COLUMNS,))) == [(Risk.MASKED_COLUMNS, "t")]


def test_policies_cost_one_request_more_for_a_table() -> None:
    world = DatasetWithPolicies()
    world.export()
    assert sorted(world.warehouse.asked) == ["other", "other", "t", "t"]
    assert sorted(world.warehouse.described) == ["other", "other", "t", "t"]


def test_what_the_plan_names_already_is_not_looked_up_again() -> None:
    world = DatasetWithPolicies()
    world.protect()
    manifest = world.export(allow=(Risk.ROW_POLICIES,))
    assert sorted(world.warehouse.asked) == ["other", "other", "t"]
    assert told(manifest) == [(Risk.ROW_POLICIES, "t")]
    world = DatasetWithPolicies()
    world.mask()
    manifest = world.export(allow=(Risk.MASKED_COLUMNS,))
    assert sorted(world.warehouse.described) == ["other", "other", "t"]
    assert told(manifest) == [(Risk.MASKED_COLUMNS, "t")]
    world = DatasetWithPolicies()
    world.blind()
    manifest = world.export(allow=(Risk.UNSEEN_ROW_POLICIES,))
    assert len(world.warehouse.asked) == 1
    assert told(manifest) == [(Risk.UNSEEN_ROW_POLICIES, "")]


def test_in_a_partial_export_a_table_with_a_late_policy_is_left_out_with_its_files() -> None:
    world = DatasetWithPolicies()
    manifest = world.export(world.protect, allow_partial=True, path="{run}/{table}/{table}_*.{ext}")
    assert [entry.table for entry in manifest.tables] == ["other"]
    assert [failure.reason for failure in manifest.failed] == ["row-policies"]
    assert [name for name in world.store.names_now() if name.endswith(".csv")] == ["r/other/other_000000000000.csv"]


def unchanged_and_protected() -> DatasetWithPolicies:
    """A table with a policy and one without, both of which were modified before the run."""
    made = DatasetWithPolicies()
    for table in ("other", "t"):
        made.warehouse.put("p", "d", table, ["row"], modified=NOW - 1000)
    made.protect()
    return made


def test_a_policy_that_planning_could_not_see_is_reported_by_the_job_itself() -> None:
    world = unchanged_and_protected()
    world.blind()
    with pytest.raises(TablesFailedError, match="t: row-policies: reported by its job: row access policies may hide"):
        world.export(route="extract", allow=(Risk.UNSEEN_ROW_POLICIES,))


def test_rows_that_a_policy_may_hide_are_not_expected() -> None:
    manifest = unchanged_and_protected().export(route="extract", allow=(Risk.ROW_POLICIES,))
    assert told(manifest) == [(Risk.ROW_POLICIES, "t")]
    assert {entry.table: entry.expected_rows for entry in manifest.tables} == {"other": 1, "t": None}
