"""What `bqdump local` prints, and what `bqdump local execute` passes on to its tasks."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bqdump.cli.main import start
from bqdump.cli.setup.local import DATASET, PROJECT, TARGET, settings_of_tasks
from bqdump_local.stack import Stack


def test_the_command_that_stops_the_stack_names_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my stack"
    running = Stack("http://127.0.0.1:1", "http://127.0.0.1:2", (), "127.0.0.1:3", "http://127.0.0.1:4")
    monkeypatch.setattr("bqdump_local.state.find", lambda _: running)
    assert start(["local", "--folder", str(folder), "up"]) == 0
    assert f"Stop the stack: bqdump local --folder '{folder}' down\n" in capsys.readouterr().err
    assert start(["local", "up"]) == 0
    assert "Stop the stack: bqdump local down\n" in capsys.readouterr().err


def test_variables_that_are_shown_and_not_set_come_with_the_command_that_sets_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = Stack("http://127.0.0.1:1", "http://127.0.0.1:2", (), "127.0.0.1:3", "http://127.0.0.1:4")
    monkeypatch.setattr("bqdump_local.state.find", lambda _: running)
    assert start(["local", "up"]) == 0
    assert "eval" not in capsys.readouterr().err
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert start(["local", "up"]) == 0
    assert 'To set these variables in this shell: eval "$(bqdump local up)"\n' in capsys.readouterr().err


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
