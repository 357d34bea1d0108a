"""Tables and datasets that are chosen by label, on the local stack: no request more, and none leaves unasked."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any

import pytest
import requests

from bqdump.core.documents.codec import decode
from bqdump.core.documents.sets import SetManifest
from integration.stage import Stage

KEEPS = ("--path", "{run}/{table}/{table}_*.{ext}")


@pytest.fixture
def labelled(stage: Stage) -> Stage:
    for name, labels in (("orders", {"backup": "daily"}), ("people", {"backup": "daily", "pii": "true"}), ("tmp", {})):
        stage.table(name)
        label(stage, name, labels)
    return stage


def label(stage: Stage, table: str, labels: dict[str, Any]) -> None:
    place = f"projects/{stage.project}/datasets/{stage.dataset}{f'/tables/{table}' if table else ''}"
    address = f"{stage.stack.bigquery}/bigquery/v2/{place}"
    requests.patch(address, json={"labels": labels}, timeout=10).raise_for_status()


def counted(stage: Stage, *arguments: str) -> Counter[str]:
    """The requests to BigQuery of a plan."""
    requests.delete(f"{stage.stack.bigquery}/_local/requests", timeout=10).raise_for_status()
    planned = stage.command("plan", "--project", stage.project, "--bucket", stage.bucket, *arguments)
    assert planned.code == 0, planned.text
    sent: Any = stage.stack.requests()
    return Counter(sent["bigquery"]["requests"])


def test_labels_choose_tables_with_the_requests_that_names_take(labelled: Stage) -> None:
    by_name = counted(labelled, "--dataset", labelled.dataset, "--include", "orders,people")
    by_label = counted(labelled, "--dataset", labelled.dataset, "--include", "label:backup=daily")
    assert by_label == by_name
    label(labelled, "", {"backup": "nightly"})
    named = counted(labelled, "--dataset", f"{labelled.dataset[:-1]}?")
    assert counted(labelled, "--dataset", "label:backup=nightly") == named


def test_what_a_run_holds_is_listed_and_restored_by_the_labels_that_it_had(labelled: Stage) -> None:
    assert labelled.run(*KEEPS, "--run-id", "first").code == 0
    label(labelled, "people", {"pii": None})
    place = ("--project", labelled.project, "--bucket", labelled.bucket)
    shown = labelled.command("ls", "--bucket", labelled.bucket, "--include", "label:pii", "--json")
    assert [table["table"] for table in json.loads(shown.out)["tables"]] == ["people"]
    restored = labelled.command("restore", *place, "--into", "back", "--exclude", "label:backup!=daily", "--json")
    assert restored.code == 0, restored.text
    assert [table["table"] for table in json.loads(restored.out)["tables"]] == ["orders", "people"]
    wrong = labelled.command("ls", "--bucket", labelled.bucket, "--include", "label:PII")
    assert wrong.code == 2
    assert "expected label:KEY" in wrong.text


def test_a_dataset_whose_label_is_removed_does_not_leave_the_set_unasked(labelled: Stage) -> None:
    labelled.sql("CREATE SCHEMA other")
    other = f"{labelled.stack.bigquery}/bigquery/v2/projects/{labelled.project}/datasets/other"
    requests.patch(other, json={"labels": {"backup": "nightly"}}, timeout=10).raise_for_status()
    labelled.sql("CREATE TABLE other.t AS SELECT 1 AS n")
    label(labelled, "", {"backup": "nightly"})
    nightly = ("--dataset", "label:backup=nightly", "--prefix", "all", *KEEPS)
    assert labelled.run(*nightly, "--run-id", "first").code == 0
    requests.patch(other, json={"labels": {"backup": None}}, timeout=10).raise_for_status()
    refused = labelled.run(*nightly, "--run-id", "second")
    assert refused.code == 2
    assert "other (no longer chosen)" in refused.text
    project = decode(labelled.read("all/_bqdump/project.json"), SetManifest, "project.json")
    assert project.run == "first"


def test_an_erased_table_is_named_where_its_label_chooses_it(labelled: Stage) -> None:
    place = ("--project", labelled.project, "--bucket", labelled.bucket)
    assert labelled.run(*KEEPS, "--run-id", "first").code == 0
    erased = labelled.command("erase", "people", *place, "--yes", "--reason", "asked for")
    assert erased.code == 0, erased.text
    for pattern, tables in (("label:pii", []), ("label:backup=daily", ["orders"])):
        shown = labelled.command("ls", "--bucket", labelled.bucket, "--include", pattern, "--json")
        listing = json.loads(shown.out)
        assert [table["table"] for table in listing["tables"]] == tables
        assert [left["name"] for left in listing["left_out"]] == ["people"]
    restored = labelled.command("restore", *place, "--into", "back", "--include", "label:backup=daily", "--plan")
    assert re.search(r"people +table +not in the export: erased on .*asked for", restored.text), restored.text
