"""Which access entries of an exported dataset a restore grants to the target."""

from __future__ import annotations

from typing import Any

import pytest

from bqdump.core.documents.definitions import Definitions, ObjectDefinition, RoutineDefinition, RowPolicy
from bqdump.core.errors import UsageError
from bqdump.core.restore.access import merged
from bqdump.core.restore.plan import RestorePlan
from core.restore.exports import entry, manifest, plan, raw, read

READER = {"role": "READER", "userByEmail": "a@example.com"}
VIEW = ObjectDefinition("v", "VIEW", raw({"view": {"query": "SELECT 1"}}))
ROUTINE = RoutineDefinition("f", "SCALAR_FUNCTION", raw({"routineType": "SCALAR_FUNCTION", "definitionBody": "1"}))
POLICY = RowPolicy("orders", "p", "TRUE", ("user:a@example.com",))


def at(dataset: str, **named: str) -> dict[str, str]:
    return {"projectId": "proj", "datasetId": dataset, **named}


def planned(*access: dict[str, Any], policies: tuple[RowPolicy, ...] = (), **options: Any) -> RestorePlan:
    found = Definitions(dataset=raw({"access": access}), objects=(VIEW,), routines=(ROUTINE,), policies=policies)
    return plan(manifest(entry("orders"), definitions=found), **{"with_access": True, **options})


def left(restore_plan: RestorePlan) -> dict[str, str]:
    return {one.name: one.reason for one in restore_plan.not_restored if one.kind == "ACCESS"}


def test_entries_are_only_granted_on_request() -> None:
    restore_plan = planned(READER, with_access=False)
    assert (restore_plan.access, left(restore_plan)) == (
        (), {"shop": "access entries are restored on request only"},
    )  # fmt: skip


def test_a_drill_does_not_miss_entries_that_it_could_not_grant() -> None:
    restore_plan = planned(READER, with_access=False, temporary=True)
    assert (restore_plan.access, left(restore_plan)) == ((), {})


def test_members_are_granted_as_they_are() -> None:
    until = {"expression": "TRUE", "title": "for now"}
    given: list[dict[str, Any]] = [
        READER,
        {"role": "roles/bigquery.metadataViewer", "groupByEmail": "g@example.com", "condition": until},
        {"role": "WRITER", "domain": "example.com"},
        {"role": "OWNER", "specialGroup": "projectOwners"},
        {"role": "READER", "iamMember": "allUsers"},
    ]
    restore_plan = planned(*given)
    assert [read(step.definition) for step in restore_plan.access] == given
    assert [step.name for step in restore_plan.access] == [
        "READER for user a@example.com", "roles/bigquery.metadataViewer for group g@example.com if for now",
        "WRITER for domain example.com", "OWNER for projectOwners", "READER for allUsers",
    ]  # fmt: skip
    assert left(restore_plan) == {}


@pytest.mark.parametrize(
    ("entry", "granted"),
    [
        ({"view": at("shop", tableId="v")}, {"view": at("back", tableId="v")}),
        ({"routine": at("shop", routineId="f")}, {"routine": at("back", routineId="f")}),
        (
            {"dataset": {"dataset": at("shop"), "targetTypes": ["VIEWS"]}},
            {"dataset": {"dataset": at("back"), "targetTypes": ["VIEWS"]}},
        ),
    ],
)
def test_what_is_authorized_in_the_source_is_authorized_in_the_target(entry: Any, granted: Any) -> None:
    restore_plan = planned(entry)
    assert ([read(step.definition) for step in restore_plan.access], left(restore_plan)) == ([granted], {})


ELSEWHERE = "it refers to proj.shop, not to the target"


@pytest.mark.parametrize(
    ("entry", "name", "reason"),
    [
        ({"view": at("shop", tableId="gone")}, "authorized view proj.shop.gone", "it is not restored"),
        ({"routine": at("shop", routineId="v2")}, "authorized routine proj.shop.v2", "it is not restored"),
        ({"view": at("reports", tableId="v")}, "authorized view proj.reports.v", ELSEWHERE),
        ({"dataset": {"dataset": at("reports")}}, "authorized dataset proj.reports", ELSEWHERE),
        ({"role": "READER", "iamMember": "deleted:user:a"}, "READER for deleted:user:a", "the account was deleted"),
    ],
)  # fmt: skip
def test_what_cannot_be_granted_is_named(entry: Any, name: str, reason: str) -> None:
    restore_plan = planned(entry)
    assert (restore_plan.access, left(restore_plan)) == ((), {name: reason})


def test_groups_of_a_project_are_those_of_the_target_elsewhere() -> None:
    restore_plan = planned({"role": "READER", "specialGroup": "projectReaders"}, READER, project="other")
    assert [step.name for step in restore_plan.access] == ["READER for user a@example.com"]
    assert left(restore_plan) == {"READER for projectReaders": "in another project, this is another group"}


def test_authorized_views_of_other_datasets_are_granted_again_to_the_same_dataset() -> None:
    given = {"view": at("reports", tableId="v")}
    assert [read(step.definition) for step in planned(given, dataset="shop").access] == [given]


def test_what_is_authorized_in_a_dataset_that_is_restored_along_is_authorized_in_its_target() -> None:
    views: dict[str, Any] = {"dataset": {"dataset": at("crm"), "targetTypes": ["VIEWS"]}}
    restore_plan = planned({"view": at("crm", tableId="v")}, views, others=(("crm", "old_crm"),))
    granted = {key: value for step in restore_plan.access for key, value in read(step.definition).items()}
    place = at("old_crm")
    assert granted == {"view": {**place, "tableId": "v"}, "dataset": {"dataset": place, "targetTypes": ["VIEWS"]}}
    assert left(restore_plan) == {}


def test_views_that_are_not_chosen_are_not_authorized() -> None:
    restore_plan = planned({"view": at("shop", tableId="v")}, include=("orders",))
    assert (restore_plan.access, left(restore_plan)) == ((), {"authorized view proj.shop.v": "it is not restored"})


def test_access_without_the_row_policies_of_a_table_is_refused() -> None:
    with pytest.raises(UsageError, match="table orders has row access policies"):
        planned(READER, policies=(POLICY,))
    assert planned(READER, policies=(POLICY,), with_policies=True).access
    unknown = RowPolicy("orders", "p", "TRUE", None)
    with pytest.raises(UsageError, match="whose members are not in the export"):
        planned(READER, policies=(unknown,), with_policies=True)
    assert planned(READER, policies=(unknown,), exclude=("orders",)).access


def test_entries_that_mean_the_same_are_not_granted_twice() -> None:
    there: list[dict[str, Any]] = [{"role": "READER", "userByEmail": "A@example.com"}, {"view": at("x", tableId="v")}]
    same: list[dict[str, Any]] = [
        {"userByEmail": "a@example.com", "role": "roles/bigquery.dataViewer"},
        {"view": {"tableId": "v", "datasetId": "x", "projectId": "proj"}},
    ]
    assert merged(there, same) is None
    assert merged(there, [*same, {"role": "OWNER", "userByEmail": "a@example.com"}]) == [
        *there, {"role": "OWNER", "userByEmail": "a@example.com"},
    ]  # fmt: skip
