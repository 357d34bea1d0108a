"""The doctor in memory: each right that is missing is named with what it stops and the command that grants it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.check.doctor.checks import CheckOutcome
from bqdump.check.doctor.examine import DISASTER_RECOVERY
from bqdump.cli.setup.doctor import _print
from bqdump.copying.survey import Mode
from bqdump.core.errors import DeniedError
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.diagnosis import Diagnosis, diagnose
from bqdump.ports.store import BucketInfo
from copying.scene import Copies
from retain.scene import SETTINGS, Scene

BATCHES = ("copy", "delete")


class Refusing:
    """A port that refuses these requests for want of a permission."""

    def __init__(self, port: Any, *refused: str) -> None:
        self._port, self._refused = port, refused

    def __getattr__(self, name: str) -> Any:
        if name not in self._refused:
            return getattr(self._port, name)

        async def refuse(*arguments: Any) -> Any:
            error = DeniedError(name, "it", "permission denied")
            if name in BATCHES:
                return [error for _ in arguments[0]]
            raise error

        return refuse


def diagnosed(scene: Scene, *refused: str, **changes: Any) -> Diagnosis:
    """What the doctor finds where these requests are refused."""
    store: Any = Refusing(scene.store, *refused)
    warehouse: Any = Refusing(scene.warehouse, *refused)
    settings: Settings = replace(SETTINGS, **changes)
    return asyncio.run(diagnose(store, warehouse, scene.task("doctor").open_read_route, settings))


def names(diagnosis: Diagnosis, outcome: CheckOutcome) -> list[str]:
    return [check.name for check in diagnosis.checks if check.outcome is outcome]


def detail(diagnosis: Diagnosis, name: str) -> str:
    (found,) = [check.detail for check in diagnosis.checks if check.name == name]
    return found


def test_where_nothing_is_lacking_a_run_can_start_and_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    scene = Scene()
    found = diagnosed(scene)
    assert [*names(found, CheckOutcome.DENIED), *names(found, CheckOutcome.REFUSED)] == []
    assert scene.names() == []
    assert detail(found, "plan an export") == f"2 tables{DISASTER_RECOVERY}"
    assert detail(diagnosed(scene, route="query"), "plan an export") == "2 tables"
    _print(found, "run")
    assert capsys.readouterr().out.endswith("\nA run can start.\n")


def test_what_the_bucket_bills_of_deleted_files_is_reported_here_and_not_in_plans() -> None:
    scene = Scene()
    scene.store.bucket = replace(scene.store.bucket, soft_delete_seconds=604_800, versions=True)
    found = diagnosed(scene)
    assert [(check.outcome, check.detail) for check in found.checks if check.name == "deleted files"] == [
        (CheckOutcome.OK, "soft delete is on: deleted and replaced files stay billed for 7 days"),
        (CheckOutcome.WARNING, "versioning is on: deleted and replaced files stay billed as noncurrent versions"),
    ]
    assert [check.name for check in found.checks if check.name.startswith("risk: ")] == []


@pytest.mark.parametrize(("refused", "check", "permission", "role"), [
    ("dataset", "see the dataset", "bigquery.datasets.get", "roles/bigquery.dataViewer"),
    ("now", "start jobs", "bigquery.jobs.create", "roles/bigquery.jobUser"),
    ("tables", "list its tables", "bigquery.tables.list", "roles/bigquery.dataViewer"),
    ("estimate", "read rows (a dry run)", "bigquery.tables.getData", "roles/bigquery.dataViewer"),
    ("write", "create objects", "storage.objects.create", "roles/storage.objectUser"),
    ("copy", "replace objects", "storage.objects.update", "roles/storage.objectUser"),
])  # fmt: skip
def test_a_missing_right_is_named_with_the_command_that_grants_it(
    refused: str, check: str, permission: str, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diagnosed(Scene(), refused)
    assert found.verdict is CheckOutcome.DENIED
    assert [
        one.name for one in found.checks if one.permission == permission and one.outcome is CheckOutcome.DENIED
    ] == [check]
    (cure,) = [cure for cure in found.cures if cure.permission == permission]
    assert cure.role.endswith(role)
    assert any(role in line for line in cure.commands)
    _print(found, "run")
    out = capsys.readouterr().out
    assert f"{cure.role} on {cure.on}" in out
    stopping = len(names(found, CheckOutcome.DENIED)) + len(names(found, CheckOutcome.REFUSED))
    assert out.endswith(f"\n{stopping} check{'s' * (stopping > 1)} would stop a run.\n")
    assert not detail(found, check).startswith("skipped")


def test_what_a_run_leaves_out_for_want_of_a_right_is_a_warning() -> None:
    scene = Scene()
    scene.warehouse.policies["items"] = ["north"]
    found = diagnosed(scene, "routines", "models", "grantees")
    assert {"see routines", "see models", "see members"} <= {*names(found, CheckOutcome.WARNING)}


def test_policies_of_many_tables_are_tried_with_one_query_only_where_they_can_be_listed() -> None:
    scene, one_query = Scene(), "see row access policies with one query"
    assert one_query not in {check.name for check in diagnosed(scene).checks}
    for number in range(60):
        scene.warehouse.put("p", "sales", f"t{number}", ["a"])
    assert one_query in {check.name for check in diagnosed(scene).checks}
    scene.warehouse.sees_policies = False
    unseen = diagnosed(scene)
    assert one_query not in {check.name for check in unseen.checks}
    assert names(unseen, CheckOutcome.DENIED) == ["see row access policies"]


@pytest.mark.parametrize("mode", ["governance", "compliance"])
def test_of_locked_copies_it_says_until_when_no_account_deletes_them(mode: Mode) -> None:
    copies = Copies()
    copies.export("r1")
    copies.copy("r1", lock=3650, lock_mode=mode)
    found = asyncio.run(
        diagnose(copies.target, copies.source.warehouse, copies.source.task("doctor").open_read_route, copies.there)
    )
    said = detail(found, "could destroy")
    assert said.startswith("this account can delete no run before ")
    assert ("an account that may override governance locks can" in said) == (mode == "governance")


@pytest.mark.parametrize(
    ("bucket", "outcome", "back"),
    [
        (BucketInfo("US", 0, 0), "warning", "nothing brings them back: soft delete is off"),
        (BucketInfo("US", 0, 604_800), "ok", "soft delete keeps them for 7 days"),
        (BucketInfo("US", 0, 0, versions=True), "warning",
         "the bucket keeps noncurrent versions, which this account can delete, too"),
        (None, "ok", "whether the bucket would bring them back cannot be seen"),
    ],
    ids=["nothing", "soft delete", "versions", "unseen"],
)  # fmt: skip
def test_it_says_what_would_bring_back_what_its_account_can_delete(
    bucket: BucketInfo | None, outcome: str, back: str
) -> None:
    scene = Scene()
    scene.store.bucket = bucket or scene.store.bucket
    found = diagnosed(scene, *(() if bucket else ("describe",)))
    (said,) = [(check.outcome, check.detail) for check in found.checks if check.name == "could destroy"]
    assert said == (outcome, f"this account can delete all runs; {back}")
    assert ("see the bucket" in names(found, CheckOutcome.WARNING)) == (bucket is None)
    assert [cure.role for cure in found.cures] == ([] if bucket else ["roles/storage.legacyBucketReader"])


def test_a_risk_is_refused_by_name_unless_it_is_allowed() -> None:
    scene = Scene()
    scene.warehouse.policies["items"] = ["north"]
    found = diagnosed(scene)
    assert names(found, CheckOutcome.REFUSED) == ["risk: row-policies"]
    assert "row-policies" in detail(found, "risk: row-policies")
    assert names(diagnosed(scene, allow=(Risk.ROW_POLICIES,)), CheckOutcome.REFUSED) == []


def test_a_bucket_that_keeps_its_objects_gets_none() -> None:
    scene = Scene()
    scene.store.bucket = BucketInfo("US", 3600, 0)
    found = diagnosed(scene)
    assert names(found, CheckOutcome.REFUSED) == ["see the bucket"]
    assert "delete objects" in names(found, CheckOutcome.UNTRIED)
    assert scene.names() == []
