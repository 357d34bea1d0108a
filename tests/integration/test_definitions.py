"""An export holds what rebuilds its dataset, read with Google's client; without permissions it names what it lacks."""

from __future__ import annotations

import pytest

import bqdump
from bqdump.core.risks import Risk
from integration.stage import Stage

RIGHTS = (
    "bigquery.datasets.getIamPolicy", "bigquery.routines.list", "bigquery.routines.get", "bigquery.models.list",
    "bigquery.rowAccessPolicies.getIamPolicy",
)  # fmt: skip


@pytest.fixture
def full(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A dataset with everything that has a definition."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    stage.table("orders")
    path = f"/projects/{stage.project}/datasets/{stage.dataset}"
    stage.big._call_api(None, method="PATCH", path=path, data={"labels": {"team": "data"}, "description": "Sales"})
    stage.sql("CREATE FUNCTION inc(x INT64) RETURNS INT64 AS (x + 1)")
    stage.sql("CREATE TABLE FUNCTION above(least INT64) AS SELECT 1 AS a WHERE least > 0")
    stage.sql(f"CREATE VIEW named AS SELECT name FROM `{stage.dataset}`.orders")
    stage.sql(f"CREATE MATERIALIZED VIEW counted AS SELECT COUNT(*) AS n FROM `{stage.dataset}`.orders")
    stage.sql("CREATE ROW ACCESS POLICY eu ON orders GRANT TO ('group:eu@example.com') FILTER USING (id = 1)")
    stage.sql("CREATE SEARCH INDEX words ON orders (ALL COLUMNS)")
    stage.model("forecast")
    return stage


def exported(stage: Stage) -> bqdump.Manifest:
    project, dataset, bucket = stage.project, stage.dataset, stage.bucket
    run = bqdump.run(project=project, dataset=dataset, bucket=bucket, allow="row-policies")
    assert run.state == "published"
    return bqdump.manifest(project=project, dataset=dataset, bucket=bucket)


def test_a_manifest_holds_everything_that_rebuilds_the_dataset(full: Stage) -> None:
    manifest = exported(full)
    assert set(manifest) == {"orders", "named", "counted"}
    found = manifest.definitions
    assert found.unread == ()
    assert (found.dataset["labels"], found.dataset["description"]) == ({"team": "data"}, "Sales")
    assert found.dataset["access"]
    assert not {"etag", "id", "creationTime"} & set(found.dataset)
    objects = {one.name: (one.kind, one.sql) for one in found.objects}
    assert objects.keys() == {"counted", "named"}
    assert objects["counted"][0] == "MATERIALIZED_VIEW"
    assert objects["named"] == ("VIEW", f"SELECT name FROM `{full.dataset}`.orders")
    assert [(one.name, one.kind) for one in found.routines] == [
        ("above", "TABLE_VALUED_FUNCTION"), ("inc", "SCALAR_FUNCTION"),
    ]  # fmt: skip
    assert found.routines[1].sql == "x + 1"
    assert found.routines[1].definition["returnType"] == {"typeKind": "INT64"}
    assert found.policies == (bqdump.RowPolicy("orders", "eu", "id = 1", ("group:eu@example.com",)),)
    (index,) = found.indexes
    assert (index.table, index.name, index.kind) == ("orders", "words", "SEARCH")
    assert index.ddl.startswith("CREATE SEARCH INDEX `words` ON ")
    assert found.models == ("forecast",)
    assert [flag.detail for flag in manifest.flags if flag.risk is Risk.MODELS] == ["forecast"]


def test_without_any_of_the_permissions_the_export_is_complete_and_names_them(full: Stage) -> None:
    full.deny(*RIGHTS)
    try:
        manifest = exported(full)
    finally:
        full.deny()
    assert manifest.status == "complete"
    assert set(manifest) == {"orders", "named", "counted"}
    found = manifest.definitions
    assert {one.what for one in found.unread} == {
        "access entries of the dataset",
        "routines",
        "names of models",
        "the members of row access policy eu of table orders",
    }
    assert found.dataset["labels"] == {"team": "data"}
    assert found.policies == (bqdump.RowPolicy("orders", "eu", "id = 1", None),)
    (flag,) = (flag for flag in manifest.flags if flag.risk is Risk.UNREAD_DEFINITIONS)
    assert flag.allowed
    assert "routines: missing permission bigquery.routines.list" in flag.detail
