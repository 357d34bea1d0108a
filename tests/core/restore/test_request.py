"""What a restore was asked for: the target dataset, the bucket to restore through, and what contradicts itself."""

from __future__ import annotations

from typing import Any

import pytest

from bqdump.core.errors import UsageError
from bqdump.core.restore.request import Asked, filled, parse_into, requested
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target

IN_BUCKET = Settings(project="mine", dataset="", target=Target("gs", "exports"))
IN_FOLDER = Settings(project="mine", dataset="", target=Target("file", "./exports"))


def ask(settings: Settings = IN_BUCKET, **given: Any) -> Any:
    return requested(settings, Asked(**{"into": "copy", **given}))


@pytest.mark.parametrize(
    ("into", "project", "dataset"),
    [
        ("copy", "mine", "copy"),
        ("other-project.copy", "other-project", "copy"),
        ("other-project:copy", "other-project", "copy"),
        ("example.com:other.copy", "example.com:other", "copy"),
    ],
)
def test_a_dataset_is_named_with_or_without_its_project(into: str, project: str, dataset: str) -> None:
    assert parse_into(into, "mine") == (project, dataset)


@pytest.mark.parametrize("into", ["", "a b", "project.", ".copy", "other.copy.table-1", "-"])
def test_what_names_no_dataset_is_refused_in_one_sentence(into: str) -> None:
    with pytest.raises(UsageError, match=r"^into: (missing|invalid value)"):
        parse_into(into, "mine")


@pytest.mark.parametrize("into", ["{data}", "{dataset", "dataset}", "{dataset}.copy", "other.{}", "{{dataset}}_x"])
def test_the_only_placeholder_is_the_name_of_the_dataset(into: str) -> None:
    with pytest.raises(
        UsageError, match=r"^into: .* the only placeholder is \{dataset\}, .* mine\.\{dataset\}_restored"
    ):
        parse_into(into, "mine")


def test_the_name_of_the_dataset_takes_the_place_of_the_placeholder() -> None:
    options = ask(into="other-project.{dataset}_copy").options
    assert (options.project, filled(options, "sales").dataset) == ("other-project", "sales_copy")
    assert filled(ask().options, "sales").dataset == "copy"
    with pytest.raises(UsageError, match=r"^into: the name for dataset x+ would have 1,025 characters, of 1,024"):
        filled(options, "x" * 1020)


def test_a_dataset_with_a_table_is_not_taken_for_a_project_with_a_dataset() -> None:
    with pytest.raises(UsageError, match=r"'sales' is no project, .* 6 characters\. .* choose tables with include\."):
        parse_into("sales.flights", "mine")
    assert parse_into("mine.flights", "mine") == ("mine", "flights")


def test_a_dataset_without_a_project_anywhere_is_refused() -> None:
    with pytest.raises(UsageError, match="its project is not known"):
        parse_into("copy", "")


def test_patterns_are_lists_or_separated_by_commas() -> None:
    assert ask(include="a, b_*").options.include == ("a", "b_*")
    assert ask(exclude=["a", "b"]).options.exclude == ("a", "b")


def test_replacing_and_filling_gaps_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="replace: cannot be used together with missing_only"):
        ask(replace=True, missing_only=True)


def test_a_local_folder_needs_a_bucket_to_go_through() -> None:
    with pytest.raises(UsageError, match="load jobs read from Cloud Storage"):
        ask(IN_FOLDER)
    assert ask(IN_FOLDER, via="gs://tmp/x").via == Target("gs", "tmp", "x/")


@pytest.mark.parametrize("via", ["./folder", "s3://bucket", "gs://"])
def test_what_is_no_bucket_is_refused(via: str) -> None:
    with pytest.raises(UsageError, match=r"^via: invalid value"):
        ask(via=via)


@pytest.mark.parametrize("name", ["include", "partitions"])
@pytest.mark.parametrize("given", ["", ",", [], [""]])
def test_a_list_that_names_nothing_does_not_stand_for_everything(name: str, given: Any) -> None:
    with pytest.raises(UsageError, match="it names nothing"):
        ask(**{name: given})
