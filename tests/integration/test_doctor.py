"""bqdump doctor: every right tried, every guard asked, nothing exported and nothing left behind."""

from __future__ import annotations

import json
import shlex
from typing import Any

from bqdump.diagnosis import Diagnosis, environment
from bqdump_reference.pages import schema
from integration.command import Called
from integration.stage import Stage
from json_schema import problems

RIGHTS = {
    "bigquery.datasets.get": "roles/bigquery.dataViewer", "bigquery.tables.list": "roles/bigquery.dataViewer",
    "bigquery.tables.get": "roles/bigquery.dataViewer", "bigquery.tables.getData": "roles/bigquery.dataViewer",
    "bigquery.jobs.create": "roles/bigquery.jobUser",
    "bigquery.rowAccessPolicies.list": "/roles/bqdump_row_policies",
    "storage.objects.create": "roles/storage.objectUser", "storage.objects.get": "roles/storage.objectUser",
    "storage.objects.list": "roles/storage.objectUser", "storage.objects.update": "roles/storage.objectUser",
    "storage.objects.delete": "roles/storage.objectUser",
}  # fmt: skip


def diagnosed(called: Called) -> dict[str, Any]:
    """The diagnosis as JSON, which fits its schema."""
    diagnosis: dict[str, Any] = json.loads(called.out)
    assert problems(diagnosis, json.loads(schema(Diagnosis))) == []
    return diagnosis


def outcomes(diagnosis: dict[str, Any], outcome: str) -> dict[str, str]:
    """Names and permissions of the checks that ended so."""
    return {check["name"]: check["permission"] for check in diagnosis["checks"] if check["outcome"] == outcome}


def test_all_is_well_and_nothing_is_left_behind(stage: Stage) -> None:
    stage.table("orders")
    called = stage.command("doctor", "--json")
    diagnosis = diagnosed(called)
    assert called.code == 0, called.out
    assert outcomes(diagnosis, "denied") == outcomes(diagnosis, "refused") == outcomes(diagnosis, "untried") == {}
    assert set(outcomes(diagnosis, "ok").values()) >= {*RIGHTS, "storage.buckets.get"}
    # The tests themselves lead to stand-ins.
    assert list(outcomes(diagnosis, "warning")) == ["environment", "could destroy", "values come back"]
    assert diagnosis["cures"] == []
    assert stage.objects() == {}
    assert stage.extracts() == []
    readable = stage.command("doctor")
    assert readable.code == 0
    assert "A run can start." in readable.out


def test_a_missing_right_is_named_with_the_least_role_and_its_command(stage: Stage) -> None:
    stage.table("orders")
    for permission, role in RIGHTS.items():
        stage.deny(permission)
        called = stage.command("doctor", "--json")
        stage.deny()
        diagnosis = diagnosed(called)
        assert called.code == 5, called.out
        assert permission in outcomes(diagnosis, "denied").values()
        cure = next(cure for cure in diagnosis["cures"] if cure["permission"] == permission)
        assert cure["role"].endswith(role)
        assert any(role in line for line in cure["commands"])
        assert all(shlex.split(line.removesuffix("||")) for line in cure["commands"])
        assert stage.extracts() == []
        left = [check["detail"] for check in diagnosis["checks"] if check["name"] == "delete objects"]
        # The last one of them: what it has tried to delete is named.
        assert (stage.objects() == {}) == (permission != "storage.objects.delete")
        if permission == "storage.objects.delete":
            assert all(name in left[0] for name in stage.objects())


def test_whether_one_query_shows_the_policies_of_many_tables_is_tried_without_a_bill(stage: Stage) -> None:
    name, permission = "see row access policies with one query", "bigquery.rowAccessPolicies.get"
    for number in range(50):
        stage.table(f"t{number:02}")
    assert name not in outcomes(diagnosed(stage.command("doctor", "--json")), "ok")
    stage.table("t50")
    assert outcomes(diagnosed(stage.command("doctor", "--json")), "ok")[name] == permission
    stage.deny(permission)
    diagnosis = diagnosed(stage.command("doctor", "--json"))
    stage.deny()
    assert outcomes(diagnosis, "warning")[name] == permission
    (cure,) = diagnosis["cures"]
    assert cure["role"].endswith("/roles/bqdump_row_policies")


def test_a_permission_without_which_definitions_are_missing_is_a_warning(stage: Stage) -> None:
    stage.table("orders")
    stage.sql("CREATE ROW ACCESS POLICY eu ON orders FILTER USING (TRUE)")
    for permission, role in (
        ("bigquery.routines.list", "roles/bigquery.dataViewer"),
        ("bigquery.models.list", "roles/bigquery.dataViewer"),
        ("bigquery.datasets.getIamPolicy", "roles/bigquery.dataViewer"),
        ("bigquery.rowAccessPolicies.getIamPolicy", "/roles/bqdump_row_policies"),
    ):
        stage.deny(permission)
        called = stage.command("doctor", "--json", "--allow", "row-policies")
        stage.deny()
        diagnosis = diagnosed(called)
        assert called.code == 0, called.out
        warnings = outcomes(diagnosis, "warning")
        assert "risk: unread-definitions" in warnings
        assert permission in warnings.values()
        (cure,) = diagnosis["cures"]
        assert cure["role"].endswith(role)


def test_the_right_to_open_read_sessions_is_tried_where_a_table_takes_the_read_route(stage: Stage) -> None:
    stage.table("orders")
    stage.deny("bigquery.readsessions.create")
    assert stage.command("doctor").code == 0
    called = stage.command("doctor", "--json", "--route", "read")
    stage.deny()
    diagnosis = diagnosed(called)
    assert called.code == 5
    assert outcomes(diagnosis, "denied") == {"open a read session": "bigquery.readsessions.create"}
    (cure,) = diagnosis["cures"]
    assert (cure["role"], cure["on"]) == ("roles/bigquery.readSessionUser", f"project {stage.project}")
    assert outcomes(diagnosed(stage.command("doctor", "--json", "--route", "read")), "denied") == {}


def test_what_planning_refuses_is_reported(stage: Stage) -> None:
    stage.sql("CREATE TABLE deep AS SELECT 1 AS id, [1, 2] AS many")
    called = stage.command("doctor")
    assert called.code == 2
    assert "deep: many" in called.out
    assert "1 check would stop a run." in called.out


def test_lifecycle_rules_that_can_delete_an_export_are_refused(stage: Stage) -> None:
    stage.table("orders")
    bucket = stage.store.get_bucket(stage.bucket)
    bucket.add_lifecycle_delete_rule(age=90, matches_prefix=["tmp/"])
    bucket.add_lifecycle_delete_rule(age=30)
    bucket.patch()
    called = stage.command("doctor", "--json")
    assert called.code == 2
    (found,) = [one for one in diagnosed(called)["checks"] if one["name"] == "risk: lifecycle-rules"]
    assert found["outcome"] == "refused"
    assert "(rule 2 deletes objects older than 30 days)" in found["detail"]
    ran = stage.run()
    assert ran.code == 2
    assert "lifecycle rules of the bucket can delete files that manifests name" in ran.text
    assert stage.command("doctor", "--allow", "lifecycle-rules").code == 0


def test_the_doctor_refuses_the_folder_of_another_dataset(stage: Stage) -> None:
    stage.table("orders")
    assert stage.run().code == 0
    before = stage.objects()
    other = f"{stage.dataset}_2"
    stage.big.create_dataset(other)
    stage.sql(f"CREATE TABLE {other}.invoices (x INT64)")
    called = stage.command("doctor", "--dataset", other, "--json")
    assert called.code == 2
    diagnosis = diagnosed(called)
    (refused,) = (check for check in diagnosis["checks"] if check["outcome"] == "refused")
    assert f"it belongs to {stage.project}.{stage.dataset}" in refused["detail"]
    # What is exported there says nothing about this dataset.
    assert not [check for check in diagnosis["checks"] if "removed" in check["name"] or "dropped" in check["name"]]
    assert "1 table" in next(check["detail"] for check in diagnosis["checks"] if check["name"] == "plan an export")
    assert stage.objects() == before


def test_a_missing_dataset_and_a_missing_bucket_are_both_reported(stage: Stage) -> None:
    called = stage.command("doctor", "--json", "--dataset", "nothing", "--bucket", "nothing-there")
    assert called.code == 5
    missing = outcomes(diagnosed(called), "missing")
    assert {"see the dataset", "see the bucket"} <= set(missing)


def test_one_emulator_alone_is_a_mistake() -> None:
    (check,) = environment({"BIGQUERY_EMULATOR_HOST": "http://127.0.0.1:1"})
    assert (check.outcome, check.on) == ("refused", "BIGQUERY_EMULATOR_HOST")
    (well,) = environment({})
    assert well.outcome == "ok"


def test_clocks_that_are_wrong_by_days_are_reported(stage: Stage) -> None:
    stage.table("orders")
    stage.stack.clock(3 * 86400.0)
    try:
        called = stage.command("doctor", "--json")
    finally:
        stage.stack.clock(0.0)
    assert called.code == 0
    (clock,) = (check for check in diagnosed(called)["checks"] if check["name"] == "clock")
    assert clock["outcome"] == "warning"
    assert "259,2" in clock["detail"] or "259,1" in clock["detail"]
