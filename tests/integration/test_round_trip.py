"""A dataset that is exported and restored has the same definitions: the export of the copy says the same."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import bqdump
from bqdump.core.restore.table_requests import settable
from integration.stage import Stage

COPY = "restored_copy"
# What belongs to one table or dataset only, besides what BigQuery computes.
OF_ITS_OWN = ("etag", "access", "routineReference", "creationTime", "lastModifiedTime", "refreshTime")


@pytest.fixture
def full(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """A dataset with everything that a restore rebuilds."""
    for name, value in stage.variables.items():
        monkeypatch.setenv(name, value)
    here = stage.dataset
    path = f"/projects/{stage.project}/datasets/{here}"
    view = {"projectId": stage.project, "datasetId": here, "tableId": "z_named"}
    access = [{"role": "OWNER", "specialGroup": "projectOwners"}, {"role": "READER", "domain": "example.com"}]
    properties = {
        "access": [*access, {"view": view}],
        "labels": {"team": "data"},
        "description": "Sales",
        "defaultTableExpirationMs": "31536000000",
    }
    stage.sql(
        "CREATE TABLE customers (id INT64 NOT NULL OPTIONS (description = 'the `id`'), name STRING DEFAULT 'none', "
        "PRIMARY KEY (id) NOT ENFORCED)"
    )
    stage.sql(
        "CREATE TABLE orders (id INT64, customer INT64, day DATE, lines ARRAY<STRUCT<item STRING, amount NUMERIC>>, "
        "FOREIGN KEY (customer) REFERENCES customers (id) NOT ENFORCED) PARTITION BY day CLUSTER BY customer "
        "OPTIONS (description = 'all of them', labels = [('kind', 'fact')], partition_expiration_days = 3650, "
        "require_partition_filter = TRUE)"
    )
    stage.sql("INSERT INTO customers (id, name) VALUES (1, 'Aiko'), (2, NULL)")
    stage.sql("INSERT INTO orders SELECT 1, 1, CURRENT_DATE(), [STRUCT('pen' AS item, NUMERIC '1.5' AS amount)]")
    stage.sql("CREATE FUNCTION inc(x INT64) RETURNS INT64 AS (x + 1)")
    stage.sql(f"CREATE TABLE FUNCTION above(least INT64) AS SELECT id FROM `{here}`.customers WHERE id > least")
    stage.sql(f"CREATE PROCEDURE tidy() BEGIN DELETE FROM `{here}`.customers WHERE id IS NULL; END")
    # A view is listed before the one that it reads.
    stage.sql(f"CREATE VIEW z_named AS SELECT id, name FROM `{here}`.customers")
    stage.sql(f"CREATE VIEW a_named AS SELECT `{here}`.inc(id) AS next FROM `{here}`.z_named")
    stage.sql(f"CREATE MATERIALIZED VIEW counted AS SELECT COUNT(*) AS n FROM `{here}`.customers")
    stage.sql("CREATE ROW ACCESS POLICY eu ON customers GRANT TO ('group:eu@example.com') FILTER USING (id = 1)")
    stage.sql("CREATE SEARCH INDEX words ON customers (ALL COLUMNS)")
    stage.big._call_api(None, method="PATCH", path=path, data=properties)
    return stage


def exported(stage: Stage, dataset: str) -> bqdump.Manifest:
    place: dict[str, Any] = {"project": stage.project, "bucket": stage.bucket, "prefix": dataset}
    run = bqdump.run(dataset=dataset, format="json", allow="row-policies", **place)
    assert run.state == "published"
    return bqdump.manifest(dataset=dataset, **place)


def definitions(stage: Stage, dataset: str) -> dict[str, Any]:
    """Everything that has a definition, without what names the dataset itself."""
    manifest = exported(stage, dataset)
    found = manifest.definitions
    assert found.unread == ()
    tables = [stage.big.get_table(f"{stage.project}.{dataset}.{one}").to_api_repr() for one in ("customers", "orders")]
    tables = [_own(settable(table)) for table in tables]
    output = {
        "dataset": _own(dict(found.dataset)),
        "tables": tables,
        "objects": [(one.name, one.kind, one.sql, _own(settable(one.definition))) for one in found.objects],
        "routines": [(one.name, one.kind, one.sql, _own(dict(one.definition))) for one in found.routines],
        "policies": found.policies,
        "indexes": found.indexes,
    }
    text = msgspec.json.encode(output, order="sorted").decode()
    mapped: dict[str, Any] = msgspec.json.decode(text.replace(dataset, "DATASET").encode())
    return mapped


def _own(resource: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resource.items() if key not in OF_ITS_OWN}


def test_a_restored_dataset_has_every_definition_of_its_source(full: Stage) -> None:
    before = definitions(full, full.dataset)
    place: dict[str, Any] = {"project": full.project, "bucket": full.bucket, "prefix": full.dataset}
    result = bqdump.restore(into=COPY, **place, with_policies=True, with_access=True, verify=True)
    assert {key: len(value) for key, value in before.items() if key != "dataset"} == {
        "tables": 2, "objects": 3, "routines": 3, "policies": 1, "indexes": 1,
    }  # fmt: skip
    assert (result.failed, result.verified, result.not_restored) == ((), 2, ())
    access = full.big._call_api(None, method="GET", path=f"/projects/{full.project}/datasets/{COPY}")["access"]
    view = {"projectId": full.project, "datasetId": COPY, "tableId": "z_named"}
    assert {"view": view} in access
    assert {"role": "READER", "domain": "example.com"} in access
    assert {"role": "WRITER", "specialGroup": "projectWriters"} in access
    assert definitions(full, COPY) == before
    assert sorted(full.sql(f"SELECT next FROM {COPY}.a_named")) == [(2,), (3,)]
