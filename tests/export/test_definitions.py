"""An export holds what rebuilds its dataset; what it could not read is named, and stops nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.codec import decode
from bqdump.core.documents.definitions import Index, RowPolicy, Unread
from bqdump.core.documents.manifest import Manifest, TableEntry
from bqdump.core.documents.manifest_index import Contents
from bqdump.core.documents.run import Owner, Plan
from bqdump.core.errors import UsageError
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Table
from bqdump.export.placement.choose import running_export
from bqdump.export.planning import obtain as planning
from bqdump.export.run import obtain_plan, run
from bqdump.export.task import Task
from bqdump.repository.published import read_manifest
from bqdump_memory import MemoryWarehouse

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), allow=(Risk.ROW_POLICIES,))
SCHEMA = {"fields": [{"name": "line", "type": "STRING"}]}
VIEW = {"id": "p:d.v", "view": {"query": "SELECT 1 AS line"}, "schema": SCHEMA}
FUNCTION = {"routineType": "SCALAR_FUNCTION", "definitionBody": "x + 1"}
PERMISSIONS = (
    "bigquery.datasets.getIamPolicy", "bigquery.routines.list", "bigquery.models.list", "bigquery.tables.list",
    "bigquery.rowAccessPolicies.getIamPolicy",
)  # fmt: skip


class Warehouse(MemoryWarehouse):
    """Counts requests for members."""

    asked = 0

    async def grantees(self, dataset: Dataset, table: str, policy: str) -> tuple[str, ...]:
        self.asked += 1
        return await super().grantees(dataset, table, policy)


class DatasetWithDefinitions:
    """A dataset with a table `t`, a view, a routine, two policies, an index and a model."""

    def __init__(self) -> None:
        self.now = 1_790_000_000_000
        self.store = MemoryStore()
        self.warehouse = Warehouse(self.store, lambda: self.now)
        self.warehouse.put("p", "d", "t", ["1"])
        self.warehouse.put("p", "d", "v", ["1"], kind="VIEW")
        self.define("v", VIEW)
        self.warehouse.properties |= {"labels": {"team": "data"}, "etag": "changes", "maxTimeTravelHours": "48"}
        self.warehouse.define_routine("p", "d", "inc", FUNCTION)
        self.warehouse.policies["t"] = ["eu", "us"]
        self.warehouse.filters["t", "eu"] = "region = 'eu'"
        self.warehouse.members["t", "eu"] = ("group:eu@example.com",)
        self.warehouse.index_list.append(
            Index("t", "words", "SEARCH", "CREATE SEARCH INDEX words ON d.t (ALL COLUMNS)")
        )
        self.warehouse.model_names.append("forecast")

    def define(self, table: str, definition: dict[str, Any]) -> None:
        """Give an object this definition."""
        tables = self.warehouse.datasets["p", "d"]
        tables[table] = tables[table]._replace(definition=msgspec.Raw(msgspec.json.encode(definition)))

    def task(self, name: str, **settings: Any) -> Task:
        self.now += 1000
        return Task(self.store, self.warehouse, msgspec.structs.replace(SETTINGS, **settings), name, Owner(name, 0), 1)

    def export(self, name: str = "r", **settings: Any) -> Manifest:
        """One complete run."""
        assert asyncio.run(run(self.task(name, **settings))).state == "published"
        return asyncio.run(read_manifest(self.store, SETTINGS))


def said(definition: msgspec.Raw) -> Any:
    return msgspec.json.decode(definition)


def test_a_manifest_holds_everything_that_rebuilds_the_dataset() -> None:
    world = DatasetWithDefinitions()
    found = world.export().definitions
    dataset = said(found.dataset)
    assert dataset["labels"] == {"team": "data"}
    assert dataset["maxTimeTravelHours"] == "48"
    assert dataset["access"] == [{"role": "OWNER", "specialGroup": "projectOwners"}]
    assert "etag" not in dataset
    (view,) = found.objects
    assert (view.name, view.kind, said(view.definition)["view"]) == ("v", "VIEW", VIEW["view"])
    (routine,) = found.routines
    assert (routine.name, routine.kind, said(routine.definition)) == ("inc", "SCALAR_FUNCTION", FUNCTION)
    assert found.policies == (
        RowPolicy("t", "eu", "region = 'eu'", ("group:eu@example.com",)),
        RowPolicy("t", "us", "TRUE", ()),
    )
    assert found.indexes == tuple(world.warehouse.index_list)
    assert (found.models, found.unread) == (("forecast",), ())


def test_models_are_named_as_not_exported() -> None:
    flags = [flag for flag in DatasetWithDefinitions().export().flags if flag.risk is Risk.MODELS]
    assert [(flag.detail, flag.allowed) for flag in flags] == [("forecast", True)]


def test_without_permissions_an_export_is_complete_and_names_what_it_lacks(caplog: pytest.LogCaptureFixture) -> None:
    world = DatasetWithDefinitions()
    world.warehouse.denied |= set(PERMISSIONS)
    with caplog.at_level(logging.WARNING):
        manifest = world.export()
    assert [entry.table for entry in manifest.tables] == ["t", "v"]
    found = manifest.definitions
    assert (found.routines, found.models, found.indexes) == ((), (), ())
    assert [policy.grantees for policy in found.policies] == [None, None]
    members = "the members of row access policy {} of table t"
    lacking = "missing permission bigquery."
    assert found.unread == (
        Unread("access entries of the dataset", f"{lacking}datasets.getIamPolicy"),
        Unread("names of models", f"{lacking}models.list"),
        Unread("routines", f"{lacking}routines.list"),
        Unread("search and vector indexes", f"{lacking}tables.list"),
        Unread(members.format("eu"), f"{lacking}rowAccessPolicies.getIamPolicy", "t"),
        Unread(members.format("us"), f"{lacking}rowAccessPolicies.getIamPolicy", "t"),
    )
    (flag,) = [flag for flag in manifest.flags if flag.risk is Risk.UNREAD_DEFINITIONS]
    assert flag.allowed
    (line,) = [record.message for record in caplog.records if "definitions could not be read" in record.message]
    for one in found.unread:
        assert one.what in line
        assert one.reason in line


def test_members_are_requested_once_where_the_permission_is_missing() -> None:
    world = DatasetWithDefinitions()
    world.warehouse.policies["t"] = [f"p{number}" for number in range(50)]
    world.warehouse.denied.add("bigquery.rowAccessPolicies.getIamPolicy")
    assert len(world.export().definitions.unread) == 50
    assert world.warehouse.asked == 1


def test_a_single_routine_that_cannot_be_read_is_named() -> None:
    world = DatasetWithDefinitions()
    world.warehouse.denied.add("bigquery.routines.get")
    assert world.export().definitions.unread == (Unread("routine inc", "missing permission bigquery.routines.get"),)


@pytest.mark.parametrize(("limit", "queried"), [(0, 1), (10 << 20, 0), (21 << 20, 1)])
def test_indexes_are_queried_only_within_the_limit(limit: int, queried: int) -> None:
    world = DatasetWithDefinitions()
    found = world.export(max_bytes_billed=limit, exclude=("v",)).definitions
    assert world.warehouse.queried == queried
    assert bool(found.indexes) == bool(queried)
    reasons = [one.reason for one in found.unread]
    expected = "max_bytes_billed leaves less than the 21 MB that the query may bill"
    assert reasons == ([] if queried else [expected])


def test_a_query_for_indexes_does_not_take_the_room_of_an_export() -> None:
    world = DatasetWithDefinitions()
    # The query of the view bills the size that it has.
    world.warehouse.put("p", "d", "v", ["x" * (20 << 20)], kind="VIEW")
    found = world.export(max_bytes_billed=30 << 20).definitions
    assert (world.warehouse.queried, [one.what for one in found.unread]) == (0, ["search and vector indexes"])
    with pytest.raises(UsageError, match="would bill"):
        world.export("r2", max_bytes_billed=10 << 20)


def test_a_dataset_without_tables_costs_no_query() -> None:
    world = DatasetWithDefinitions()
    world.export(exclude=("t",))
    assert world.warehouse.queried == 0


def test_an_object_that_no_route_exports_is_defined_all_the_same() -> None:
    world = DatasetWithDefinitions()
    world.warehouse.put("p", "d", "g", [], kind="GRAPH")
    world.define("g", {"id": "p:d.g", "graph": {"ddl": "…"}})
    manifest = world.export(allow=(Risk.ROW_POLICIES, Risk.SKIPPED))
    assert [skipped.table for skipped in manifest.skipped] == ["g"]
    objects = {one.name: one for one in manifest.definitions.objects}
    assert (objects["g"].kind, said(objects["g"].definition)["graph"]) == ("GRAPH", {"ddl": "…"})


def test_an_iceberg_table_is_defined_next_to_its_rows() -> None:
    world = DatasetWithDefinitions()
    world.define("t", {"id": "p:d.t", "biglakeConfiguration": {"storageUri": "gs://lake/t"},
                       "schema": SCHEMA})  # fmt: skip
    found = world.export().definitions
    assert [(one.name, one.kind) for one in found.objects] == [("t", "TABLE"), ("v", "VIEW")]


@pytest.mark.parametrize("base", ["snapshotDefinition", "cloneDefinition"])
def test_a_snapshot_or_clone_keeps_the_name_of_its_base(base: str) -> None:
    world = DatasetWithDefinitions()
    reference = {"projectId": "p", "datasetId": "d", "tableId": "base"}
    world.define("t", {"id": "p:d.t", base: {"baseTableReference": reference}, "schema": SCHEMA})
    (entry,) = [entry for entry in world.export().tables if entry.table == "t"]
    assert said(entry.definition)[base]["baseTableReference"] == reference


def test_excluded_objects_are_not_defined() -> None:
    found = DatasetWithDefinitions().export(exclude=("t", "v")).definitions
    assert (found.objects, found.policies, found.indexes) == ((), (), ())
    assert [routine.name for routine in found.routines] == ["inc"]


def test_a_carried_table_keeps_its_definitions() -> None:
    world = DatasetWithDefinitions()
    first = world.export("r1")
    world.warehouse.put("p", "d", "new", ["1"])
    world.warehouse.policies["new"] = ["all"]
    world.warehouse.policies["t"] = []
    second = world.export("r2", include=("new",), keep_others=True).definitions
    assert second.objects == first.definitions.objects
    assert second.policies == (RowPolicy("new", "all", "TRUE", ()), *first.definitions.policies)
    assert second.indexes == first.definitions.indexes


def test_what_was_not_read_for_a_carried_table_stays_named() -> None:
    world = DatasetWithDefinitions()
    world.warehouse.denied |= {"bigquery.rowAccessPolicies.getIamPolicy", "bigquery.routines.list"}
    world.export("r1")
    world.warehouse.put("p", "d", "new", ["1"])
    world.warehouse.denied.clear()
    found = world.export("r2", include=("new",), keep_others=True).definitions
    assert {one.table for one in found.unread} == {"t"}
    assert [routine.name for routine in found.routines] == ["inc"]


def test_an_entry_is_still_one_range_read_of_the_manifest() -> None:
    world = DatasetWithDefinitions()
    world.export()
    manifest = asyncio.run(world.store.read(SETTINGS.layout.run("r").manifest.name)).data
    # A definition that repeats an entry does not confuse the index.
    entry = said(msgspec.Raw(manifest))["tables"][0]
    world.warehouse.define_routine("p", "d", "evil", {"routineType": "PROCEDURE", "definitionBody": str(entry)})
    world.export("r2")
    layout = SETTINGS.layout.run("r2")
    index = decode(asyncio.run(world.store.read(layout.contents.name)).data, Contents, layout.contents.name)
    assert [line.table for line in index.tables] == ["t", "v"]
    for line in index.tables:
        data = asyncio.run(world.store.read(layout.manifest.name, line.offset, line.length)).data
        assert msgspec.json.decode(data, type=TableEntry).table == line.table


def test_of_two_plans_only_the_stored_one_keeps_its_definitions() -> None:
    world = DatasetWithDefinitions()

    async def both() -> list[Plan]:
        # As when one task takes over from another that only looked dead.
        tasks = [replace(world.task("r"), owner=Owner(name, 0)) for name in ("x", "y")]
        return [made.plan for made in await asyncio.gather(*(planning._make(task, None) for task in tasks))]

    plans = asyncio.run(both())
    assert len({plan.nonce for plan in plans}) == 1
    stored = [name for name in world.store.names_now() if "/definitions-" in name]
    assert stored == [plans[0].definitions]


def test_a_plan_without_definitions_is_published() -> None:
    world = DatasetWithDefinitions()

    async def resumed() -> Manifest:
        task = world.task("r")
        plan = await obtain_plan(task)
        document = task.layout.plan
        old = {key: value for key, value in msgspec.to_builtins(plan).items() if key != "definitions"}
        world.store.put_now(document.name, msgspec.json.encode(old))
        assert (await run(task)).state == "published"
        assert running_export(task, plan).plan.nonce == plan.nonce
        return await read_manifest(world.store, SETTINGS)

    manifest = asyncio.run(resumed())
    assert [entry.table for entry in manifest.tables] == ["t", "v"]
    assert said(manifest.definitions.dataset) is None


def test_a_view_that_is_dropped_while_planning_is_left_out() -> None:
    world = DatasetWithDefinitions()

    class Dropping(Warehouse):
        async def table(self, dataset: Dataset, name: str) -> Table | None:
            return None if name == "g" else await super().table(dataset, name)

    world.warehouse.put("p", "d", "g", [], kind="GRAPH")
    world.warehouse.__class__ = Dropping
    found = world.export(allow=(Risk.ROW_POLICIES, Risk.SKIPPED)).definitions
    assert [one.name for one in found.objects] == ["v"]


def test_tables_that_a_dataset_does_not_distinguish_are_not_read_as_one_another() -> None:
    world = DatasetWithDefinitions()
    world.warehouse.put("p", "d", "T", ["2"])
    assert {entry.table for entry in world.export().tables} >= {"t", "T"}
    world.warehouse.properties["isCaseInsensitive"] = True
    with pytest.raises(UsageError, match=r"tables T and t: d ignores case in names \(isCaseInsensitive\)"):
        world.export("again")
    allow = (Risk.ROW_POLICIES, Risk.REMOVED_TABLES)
    assert [entry.table for entry in world.export("without", exclude=("T", "v"), allow=allow).tables] == ["t"]
