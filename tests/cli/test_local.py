"""What `bqdump local execute` passes on to its tasks."""

from __future__ import annotations

import pytest

from bqdump.cli.local import DATASET, PROJECT, TARGET, settings_of_tasks

MADE = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET, "DESTINATION_BUCKET": TARGET}


def test_what_is_missing_is_what_seed_has_made() -> None:
    environ = {"SOURCE_DATASET": "sales", "BQDUMP_FORMAT": "json", "HOME": "/"}
    assert settings_of_tasks([], environ, {}) == {**MADE, "SOURCE_DATASET": "sales", "BQDUMP_FORMAT": "json"}


@pytest.mark.parametrize(
    ("arguments", "environ"),
    [(["--to", "exports"], {}), (["--to=exports"], {}), ([], {"BQDUMP_TO": "exports"})],
)
def test_an_export_to_a_folder_gets_no_default_bucket(arguments: list[str], environ: dict[str, str]) -> None:
    assert "DESTINATION_BUCKET" not in settings_of_tasks(arguments, environ, {})


def test_a_bucket_named_next_to_a_folder_is_kept_and_refused_later() -> None:
    assert settings_of_tasks(["--to", "exports"], {"DESTINATION_BUCKET": "mine"}, {})["DESTINATION_BUCKET"] == "mine"


def test_what_the_settings_file_names_is_left_to_it() -> None:
    config = {"dataset": "sales", "bucket": "mine", "format": "parquet"}
    assert settings_of_tasks([], {}, config) == {"PROJECT_ID": PROJECT}
    assert settings_of_tasks([], {}, {"to": "gs://mine/nightly"}) == {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET}
