"""Lifecycle rules: those that can delete what manifests name are found, and others are left alone."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bqdump.core.documents.run import TablePlan
from bqdump.core.plan.lifecycle import LifecycleRule, lifecycle_flags
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target

KEEP = "{run}/{table}/{table}_*.{ext}"


def found(condition: dict[str, Any], action: str = "Delete", path: str = "{table}/{table}_*.{ext}") -> list[str]:
    settings = Settings(project="p", dataset="d", target=Target("gs", "b", "x/"), path=path)
    pattern = "x/" + settings.template.pattern(run="r1", table="items", ext="csv")
    table = TablePlan("00000-00000", "items", "TABLE", "extract", 1, 1, pattern, msgspec.Raw(b"null"))
    return [flag.detail for flag in lifecycle_flags([LifecycleRule(action, condition)], settings, "r1", [table])]


@pytest.mark.parametrize(
    ("condition", "detail"),
    [
        ({"age": 30}, "rule 1 deletes objects older than 30 days"),
        ({"age": 0, "isLive": True}, "rule 1 deletes objects older than 0 days"),
        ({"createdBefore": "2026-01-31"}, "rule 1 deletes objects created before 2026-01-31"),
        ({"age": 1, "matchesPrefix": ["tmp/", "x/"]}, "rule 1 deletes objects older than 1 day below tmp/, x/"),
        ({"age": 1, "matchesPrefix": ["x"]}, "rule 1 deletes objects older than 1 day below x"),
        ({"age": 1, "matchesPrefix": ["x/items/items_0000"]}, None),
        ({"age": 1, "matchesPrefix": ["x/_bqdump/runs/"]}, None),
        ({"age": 1, "matchesSuffix": [".csv"]}, "rule 1 deletes objects older than 1 day ending in .csv"),
        ({"age": 1, "matchesSuffix": ["n"]}, None),
        ({"age": 1, "matchesStorageClass": ["NEARLINE"]}, "rule 1 deletes objects older than 1 day of class NEARLINE"),
    ],
)
def test_a_rule_that_can_delete_files_or_documents_is_named(condition: dict[str, Any], detail: str | None) -> None:
    assert len(found(condition)) == 1
    if detail:
        assert found(condition) == [detail]


@pytest.mark.parametrize(
    "condition",
    [
        {"age": 1, "matchesPrefix": ["tmp/", "y", "x/other/"]},
        {"age": 1, "isLive": False},
        {"numNewerVersions": 3},
        {"daysSinceNoncurrentTime": 7},
        {"daysSinceCustomTime": 7},
        {"age": 1, "matchesSuffix": [".tmp", ".bak"]},
    ],
)
def test_a_rule_that_cannot_is_fine(condition: dict[str, Any]) -> None:
    assert found(condition) == []


@pytest.mark.parametrize("action", ["SetStorageClass", "AbortIncompleteMultipartUpload", ""])
def test_other_actions_are_fine(action: str) -> None:
    assert found({"age": 1}, action) == []


def test_files_of_other_runs_count_as_well() -> None:
    assert found({"age": 1, "matchesPrefix": ["x/r0/"]}, path=KEEP)
    assert not found({"age": 1, "matchesPrefix": ["x/r0/"]})
    assert not found({"age": 1, "matchesPrefix": ["y/"]}, path=KEEP)


def test_names_without_a_known_ending_may_end_in_anything() -> None:
    assert found({"age": 1, "matchesSuffix": [".tmp"]}, path="{table}/*")
