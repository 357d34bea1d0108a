"""Log lines: JSON where Cloud Logging reads them or where asked for, plain ones everywhere else."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.cli.logs import LABELS, Choice, JsonLines, choose, set_up
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk

LOG = logging.getLogger("bqdump.test")


@pytest.fixture
def in_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task of a Cloud Run Job."""
    monkeypatch.setenv("CLOUD_RUN_TASK_INDEX", "0")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """All that was logged: on standard error, as standard output is for results."""
    out, err = capsys.readouterr()
    assert out == ""
    return [json.loads(line) for line in err.splitlines()]


@pytest.mark.usefixtures("in_a_job")
def test_a_line_is_what_cloud_logging_reads(capsys: pytest.CaptureFixture[str]) -> None:
    set_up({"run": "r", "task": "3"})
    LOG.warning("%s: late", "orders", extra={"table": "orders"})
    LOG.info("plain", extra=LogEvent.COST_NOTED.extra(risk=Risk.OTHER_LOCATION, table=""))
    LOG.debug("never")
    first, second = lines(capsys)
    assert list(first) == ["severity", "message", "time", LABELS, "help"]
    assert "help" not in second
    LOG.error("no", extra=LogEvent.DRILL_FAILED.extra())
    assert [line["help"] for line in lines(capsys)] == ["docs/operate.md#a-drill-failed"]
    assert (second["event"], second["risk"]) == ("cost_noted", "other-location")
    assert (first["severity"], first["message"]) == ("WARNING", "orders: late")
    assert first[LABELS] == {"run": "r", "task": "3", "table": "orders"}
    assert second[LABELS] == {"run": "r", "task": "3"}
    assert first["time"].endswith("Z")
    assert datetime.fromisoformat(first["time"]).tzinfo is not None


@pytest.mark.usefixtures("in_a_job")
def test_an_exception_brings_its_stack_trace_for_error_reporting(capsys: pytest.CaptureFixture[str]) -> None:
    set_up({})
    try:
        dict[str, int]()["who"]
    except KeyError:
        LOG.critical("broken", exc_info=True)
    (line,) = lines(capsys)
    assert line["severity"] == "CRITICAL"
    assert line["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert line["stack_trace"].endswith("KeyError: 'who'")


@given(st.text())
def test_any_message_is_one_line(message: str) -> None:
    record = logging.LogRecord("bqdump", logging.INFO, "", 0, "%s", (message,), None)
    line = JsonLines({}).format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == message


def test_outside_of_an_engine_lines_are_readable_whatever_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    set_up({"run": "r"})
    LOG.info("fine")
    LOG.error("bad")
    out, err = capsys.readouterr()
    fine, bad = err.splitlines()
    assert out == ""
    assert fine[8:] == " fine"
    assert bad[8:] == " error: bad"


ENGINE_VARIABLES = ["CLOUD_RUN_TASK_INDEX", "BATCH_TASK_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX", "JOB_COMPLETION_INDEX"]


@pytest.mark.parametrize("variable", ENGINE_VARIABLES)
def test_tasks_of_every_engine_log_json(
    variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "0")
    set_up({})
    LOG.info("fine")
    assert [line["message"] for line in lines(capsys)] == ["fine"]


@pytest.mark.parametrize(("choice", "as_json"), [("text", False), ("json", True)])
@pytest.mark.parametrize("engine", [True, False])
def test_what_was_asked_for_comes_before_the_engine(
    choice: str, engine: bool, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if engine:
        monkeypatch.setenv("CLOUD_RUN_TASK_INDEX", "0")
    choose(Choice(choice))
    try:
        set_up({})
        LOG.info("fine")
    finally:
        choose(Choice())
    assert capsys.readouterr().err.startswith("{") == as_json


@pytest.mark.usefixtures("in_a_job")
def test_setting_up_again_replaces_the_labels(capsys: pytest.CaptureFixture[str]) -> None:
    set_up({})
    set_up({"run": "r"})
    LOG.info("once")
    (line,) = lines(capsys)
    assert line[LABELS] == {"run": "r"}
