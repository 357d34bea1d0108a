"""One query shows which of many tables have row access policies; in doubt, those of each table are listed."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Owner
from bqdump.core.errors import (
    BqdumpError,
    DeniedError,
    JobFailedError,
    NotFoundError,
    OutageError,
    TablesFailedError,
    UsageError,
)
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset
from bqdump.export.run import run
from bqdump.export.task import Task
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryWarehouse

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), allow=(Risk.ROW_POLICIES,))
TABLES = [f"t{number:02}" for number in range(51)]
VIEW = "INFORMATION_SCHEMA.ROW_ACCESS_POLICIES"
TROUBLE = (
    DeniedError("query", VIEW, "Access Denied"),
    JobFailedError("query", VIEW, "Unrecognized name: table_name"),
    NotFoundError("query", VIEW, "Not found: Table"),
    OutageError("query", VIEW, "BigQuery has not answered for 15 minutes"),
)


class Warehouse(MemoryWarehouse):
    """Counts requests. hidden: tables that the view does not show. trouble: the error of the query."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store, lambda: 1_790_000_000_000)
        self.listed: Counter[str] = Counter()
        self.queries = 0
        self.hidden: set[str] = set()
        self.trouble: BqdumpError | None = None

    async def row_policies(self, dataset: Dataset, table: str) -> list[RowPolicy] | None:
        self.listed[table] += 1
        return await super().row_policies(dataset, table)

    async def policed(self, dataset: Dataset) -> list[str]:
        self.queries += 1
        if self.trouble:
            raise self.trouble
        return [table for table in await super().policed(dataset) if table not in self.hidden]


class ManyTables:
    """51 tables, of which two have policies."""

    def __init__(self, tables: int = len(TABLES)) -> None:
        self.store = MemoryStore()
        self.warehouse = Warehouse(self.store)
        self.runs = 0
        for table in TABLES[:tables]:
            self.warehouse.put("p", "d", table, ["1"])
        self.warehouse.policies |= {"t07": ["eu", "us"], "t20": ["eu"]}
        self.warehouse.filters["t07", "us"] = "region = 'us'"
        self.warehouse.members["t20", "eu"] = ("group:eu@example.com",)

    def export(self, **settings: Any) -> Manifest:
        """One complete run; only its own requests are counted."""
        self.runs += 1
        self.warehouse.listed, self.warehouse.queries = Counter(), 0
        name = f"r{self.runs}"
        chosen = msgspec.structs.replace(SETTINGS, **settings)
        asyncio.run(run(Task(self.store, self.warehouse, chosen, name, Owner(name, 0), 1)))
        return asyncio.run(read_manifest(self.store, SETTINGS))


def seen(manifest: Manifest) -> tuple[Any, ...]:
    """What an export records of policies."""
    flags = [(flag.risk, flag.table, flag.detail) for flag in manifest.flags if "row-policies" in flag.risk]
    return manifest.definitions.policies, flags, manifest.definitions.unread


@pytest.fixture(scope="module")
def one_by_one() -> tuple[Any, ...]:
    """What an export records that lists the policies of each table, as a limit has no room for a query."""
    world = ManyTables()
    found = seen(world.export(max_bytes_billed=10 << 20))
    assert (world.warehouse.queries, set(world.warehouse.listed)) == (0, set(TABLES))
    policies, flags, _ = found
    assert {(policy.table, policy.name) for policy in policies} == {("t07", "eu"), ("t07", "us"), ("t20", "eu")}
    assert [table for _, table, _ in flags] == ["t07", "t20"]
    return found


def test_of_many_tables_only_those_with_policies_are_listed(one_by_one: tuple[Any, ...]) -> None:
    world = ManyTables()
    assert seen(world.export())[:2] == one_by_one[:2]
    assert (world.warehouse.queries, world.warehouse.listed) == (1, {"t00": 1, "t07": 1, "t20": 1})


def test_up_to_50_tables_are_listed_one_by_one() -> None:
    world = ManyTables(50)
    world.export()
    assert (world.warehouse.queries, len(world.warehouse.listed)) == (0, 50)


@pytest.mark.parametrize("trouble", TROUBLE, ids=lambda error: type(error).__name__)
def test_where_the_query_does_not_answer_all_tables_are_listed(
    trouble: BqdumpError, one_by_one: tuple[Any, ...]
) -> None:
    world = ManyTables()
    world.warehouse.trouble = trouble
    assert seen(world.export())[:2] == one_by_one[:2]
    assert world.warehouse.listed == dict.fromkeys(TABLES, 1)


def test_without_permission_to_list_policies_no_query_is_made() -> None:
    world = ManyTables()
    world.warehouse.sees_policies = False
    with pytest.raises(UsageError, match="unseen-row-policies"):
        world.export()
    assert (world.warehouse.queries, world.warehouse.listed) == (0, {"t00": 1})


def test_a_view_that_hides_a_policy_of_the_last_export_is_not_believed() -> None:
    world = ManyTables()
    before = seen(world.export())
    world.warehouse.hidden = {"t07", "t20"}
    assert seen(world.export()) == before
    assert world.warehouse.listed == dict.fromkeys(TABLES, 1)


def test_a_view_that_hides_the_policy_of_the_first_table_is_not_believed() -> None:
    world = ManyTables()
    world.warehouse.policies["t00"] = ["eu"]
    world.warehouse.hidden = set(TABLES)
    found = world.export()
    assert {policy.table for policy in found.definitions.policies} == {"t00", "t07", "t20"}
    assert world.warehouse.listed == dict.fromkeys(TABLES, 1)


def test_what_the_view_still_shows_of_a_policy_that_was_dropped_is_not_recorded() -> None:
    world = ManyTables()
    world.export()
    del world.warehouse.policies["t20"]
    assert {policy.table for policy in world.export().definitions.policies} == {"t07"}
    assert world.warehouse.listed == {"t00": 1, "t07": 1, "t20": 1}


@pytest.mark.parametrize("route", ["extract", "query"])
def test_a_policy_that_the_view_does_not_show_yet_is_found_by_what_exports_its_table(route: str) -> None:
    # No table is known to have policies, and the first one has none: nothing tells that the view lags.
    world = ManyTables()
    world.warehouse.hidden = set(TABLES)
    with pytest.raises(TablesFailedError, match="t07") as failed:
        world.export(allow=(), route=route)
    assert "row-policies" in str(failed.value)
    assert set(world.warehouse.listed) == {"t00"}
    # Where that is allowed, the manifest names the tables whose rows may be fewer.
    found = world.export(route=route)
    assert {flag.table for flag in found.flags if flag.risk == Risk.ROW_POLICIES} == {"t07", "t20"}
