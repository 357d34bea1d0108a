"""The promises of DefinitionReader, and what a Warehouse returns of a dataset, tested with every implementation."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec
import pytest
from google.cloud import bigquery

from bqdump.adapters.bigquery import definitions
from bqdump.adapters.bigquery.gate import Gate
from bqdump.adapters.bigquery.warehouse import BigQueryWarehouse
from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.patience import Patience
from bqdump.core.documents.definitions import Index
from bqdump.core.errors import DeniedError, JobFailedError
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.warehouse import Warehouse
from bqdump_memory import MemoryWarehouse, gated
from local.bigquery_server import PROJECT, Cloud, serve_world

Result = TypeVar("Result")
QUICK = Patience(seconds=0.5, first_pause=0.001)
PAGE = 3
FUNCTION = {
    "routineType": "SCALAR_FUNCTION", "language": "SQL", "definitionBody": "x + 1", "description": "One more",
    "arguments": [{"name": "x", "dataType": {"typeKind": "INT64"}}],
}  # fmt: skip


class Stage(Protocol):
    """A warehouse with a dataset, and what changes it."""

    dataset: Dataset

    def make(self) -> Warehouse:
        """The warehouse."""
        ...

    def change(self, properties: dict[str, Any]) -> None:
        """Set properties of the dataset."""
        ...

    def protect(self, table: str, policy: str, members: Sequence[str]) -> None:
        """Create a table with this row access policy."""
        ...

    def define(self, name: str) -> None:
        """Create a routine like FUNCTION."""
        ...

    def train(self, model: str) -> None:
        """Create a model."""
        ...

    def index(self, table: str, name: str) -> Index:
        """Create a table with a search index."""
        ...

    def deny(self, *permissions: str) -> None:
        """Revoke these permissions, and grant all others."""
        ...


class InMemory:
    """A warehouse in memory."""

    def __init__(self) -> None:
        self.dataset = Dataset(PROJECT, "data", "US")
        self._warehouse = MemoryWarehouse(MemoryStore(), lambda: time.time_ns() // 1_000_000)
        self._warehouse.datasets[PROJECT, "data"] = {}

    def make(self) -> Warehouse:
        return gated(self._warehouse, Gate(QUICK, 1))

    def change(self, properties: dict[str, Any]) -> None:
        self._warehouse.properties |= properties

    def protect(self, table: str, policy: str, members: Sequence[str]) -> None:
        self._warehouse.policies.setdefault(table, []).append(policy)
        self._warehouse.members[table, policy] = tuple(members)

    def define(self, name: str) -> None:
        self._warehouse.define_routine(PROJECT, "data", name, FUNCTION)

    def train(self, model: str) -> None:
        self._warehouse.model_names.append(model)

    def index(self, table: str, name: str) -> Index:
        made = Index(table, name, "SEARCH", f"CREATE SEARCH INDEX {name} ON {table} (ALL COLUMNS)")
        self._warehouse.index_list.append(made)
        return made

    def deny(self, *permissions: str) -> None:
        self._warehouse.denied = set(permissions)


class OnServers:
    """BigQuery's client on the stand-in."""

    def __init__(self, world: Cloud) -> None:
        self._world = world
        self.dataset = Dataset(PROJECT, world.dataset(), "US")
        self._place = f"{PROJECT}.{self.dataset.name}"

    def make(self) -> Warehouse:
        return BigQueryWarehouse(PROJECT, Gate(QUICK, 1))

    def change(self, properties: dict[str, Any]) -> None:
        path = f"/projects/{PROJECT}/datasets/{self.dataset.name}"
        self._world.client._call_api(None, method="PATCH", path=path, data=properties)

    def protect(self, table: str, policy: str, members: Sequence[str]) -> None:
        self._world.sql(f"CREATE TABLE IF NOT EXISTS `{self._place}.{table}` (line STRING)")
        place = {"project": PROJECT, "dataset": self.dataset.name, "table": table}
        self._world.control("POST", "policies", {**place, "name": policy, "grantees": list(members)})

    def define(self, name: str) -> None:
        reference = {"projectId": PROJECT, "datasetId": self.dataset.name, "routineId": name}
        self._world.client.create_routine(bigquery.Routine.from_api_repr({**FUNCTION, "routineReference": reference}))

    def train(self, model: str) -> None:
        self._world.control("POST", "models", {"project": PROJECT, "dataset": self.dataset.name, "model": model})

    def index(self, table: str, name: str) -> Index:
        target = f"`{self._place}.{table}`"
        self._world.sql(f"CREATE TABLE {target} (line STRING)")
        self._world.sql(f"CREATE SEARCH INDEX {name} ON {target} (ALL COLUMNS)")
        return Index(table, name, "SEARCH", f"CREATE SEARCH INDEX `{name}` ON {target}(ALL COLUMNS)")

    def deny(self, *permissions: str) -> None:
        self._world.control("PUT", "denied", {"projects": {PROJECT: list(permissions)}})


@pytest.fixture(scope="module")
def world() -> Iterator[Cloud]:
    with serve_world() as served:
        yield served


@pytest.fixture(params=["memory", "bigquery"])
def stage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    if request.param == "memory":
        yield InMemory()
        return
    world: Cloud = request.getfixturevalue("world")
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", world.address)
    monkeypatch.setattr(definitions, "PAGE", PAGE)
    yield OnServers(world)
    world.control("PUT", "denied", {"projects": {}})


@pytest.fixture
def on(stage: Stage) -> Callable[[Callable[[Warehouse], Awaitable[Result]]], Result]:
    """Asks the warehouse of the stage."""

    async def ask(question: Callable[[Warehouse], Awaitable[Result]]) -> Result:
        warehouse = stage.make()
        try:
            return await question(warehouse)
        finally:
            await warehouse.close()

    return lambda question: asyncio.run(ask(question))


On = Callable[[Callable[[Warehouse], Awaitable[Any]]], Any]


def test_a_dataset_has_its_complete_resource(stage: Stage, on: On) -> None:
    properties = {"labels": {"team": "data"}, "description": "Sales", "defaultCollation": "und:ci"}
    stage.change(properties)
    found = on(lambda warehouse: warehouse.dataset(PROJECT, stage.dataset.name))
    definition = msgspec.json.decode(found.definition)
    assert {name: definition[name] for name in properties} == properties
    assert definition["access"]
    assert definition["datasetReference"] == {"projectId": PROJECT, "datasetId": stage.dataset.name}


def test_a_dataset_is_found_without_the_permission_to_read_its_access_entries(stage: Stage, on: On) -> None:
    stage.deny("bigquery.datasets.getIamPolicy")
    found = on(lambda warehouse: warehouse.dataset(PROJECT, stage.dataset.name))
    assert found.location == "US"
    assert "access" not in msgspec.json.decode(found.definition)


def test_the_members_of_a_row_access_policy_are_sorted(stage: Stage, on: On) -> None:
    stage.protect("two words", "eu", ["user:b@example.com", "group:a@example.com"])
    stage.protect("two words", "nobody", [])
    members = on(lambda warehouse: warehouse.grantees(stage.dataset, "two words", "eu"))
    assert members == ("group:a@example.com", "user:b@example.com")
    assert on(lambda warehouse: warehouse.grantees(stage.dataset, "two words", "nobody")) == ()


@pytest.mark.parametrize("count", [0, PAGE, 2 * PAGE + 1])
def test_lists_every_page_of_routines_and_models_by_name(stage: Stage, on: On, count: int) -> None:
    names = [f"n{number}" for number in range(count)]
    for name in reversed(names):
        stage.define(name)
        stage.train(name)
    assert on(lambda warehouse: warehouse.routines(stage.dataset)) == names
    assert on(lambda warehouse: warehouse.models(stage.dataset)) == names


def test_a_routine_has_its_complete_definition(stage: Stage, on: On) -> None:
    stage.define("inc")
    found = on(lambda warehouse: warehouse.routine(stage.dataset, "inc"))
    assert (found.name, found.kind) == ("inc", "SCALAR_FUNCTION")
    definition = msgspec.json.decode(found.definition)
    assert {key: definition[key] for key in FUNCTION} == FUNCTION
    assert on(lambda warehouse: warehouse.routine(stage.dataset, "gone")) is None


def test_indexes_are_returned_by_the_statements_that_create_them(stage: Stage, on: On) -> None:
    assert on(lambda warehouse: warehouse.indexes(stage.dataset, 0)) == []
    made = [stage.index(table, "words") for table in ("plain", "orders")]
    assert on(lambda warehouse: warehouse.indexes(stage.dataset, 20 << 20)) == made[::-1]
    with pytest.raises(JobFailedError):
        on(lambda warehouse: warehouse.indexes(stage.dataset, 1 << 20))


def test_one_query_names_each_table_with_row_access_policies_once(stage: Stage, on: On) -> None:
    assert on(lambda warehouse: warehouse.policed(stage.dataset)) == []
    for table, policy in (("two words", "eu"), ("t", "eu"), ("t", "us")):
        stage.protect(table, policy, [])
    assert on(lambda warehouse: warehouse.policed(stage.dataset)) == ["t", "two words"]


@pytest.mark.parametrize(
    ("permission", "question"),
    [
        ("bigquery.routines.list", lambda warehouse, dataset: warehouse.routines(dataset)),
        ("bigquery.routines.get", lambda warehouse, dataset: warehouse.routine(dataset, "inc")),
        ("bigquery.models.list", lambda warehouse, dataset: warehouse.models(dataset)),
        ("bigquery.tables.list", lambda warehouse, dataset: warehouse.indexes(dataset, 0)),
        ("bigquery.rowAccessPolicies.get", lambda warehouse, dataset: warehouse.policed(dataset)),
        ("bigquery.rowAccessPolicies.getIamPolicy", lambda warehouse, dataset: warehouse.grantees(dataset, "t", "eu")),
    ],
)
def test_a_missing_permission_is_denied(
    stage: Stage, on: On, permission: str, question: Callable[[Warehouse, Dataset], Awaitable[Any]]
) -> None:
    stage.protect("t", "eu", [])
    stage.define("inc")
    on(lambda warehouse: question(warehouse, stage.dataset))
    stage.deny(permission)
    with pytest.raises(DeniedError, match=re.escape(permission)):
        on(lambda warehouse: question(warehouse, stage.dataset))
