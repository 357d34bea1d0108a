"""Log lines: JSON where a machine reads them, plain ones on a terminal."""

from __future__ import annotations

import io
import json
import logging
from datetime import datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bqdump.cli.logs import LABELS, JsonLines, set_up
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.risks import Risk

LOG = logging.getLogger("bqdump.test")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """See the base class."""
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_what_cloud_logging_reads() -> None:
    stream = io.StringIO()
    set_up({"run": "r", "task": "3"}, stream)
    LOG.warning("%s: late", "orders", extra={"table": "orders"})
    LOG.info("plain", extra=LogEvent.COST_NOTED.extra(risk=Risk.SOFT_DELETE, table=""))
    LOG.debug("never")
    first, second = lines(stream)
    assert list(first) == ["severity", "message", "time", LABELS]
    assert (second["event"], second["risk"]) == ("cost_noted", "soft-delete")
    assert (first["severity"], first["message"]) == ("WARNING", "orders: late")
    assert first[LABELS] == {"run": "r", "task": "3", "table": "orders"}
    assert second[LABELS] == {"run": "r", "task": "3"}
    assert first["time"].endswith("Z")
    assert datetime.fromisoformat(first["time"]).tzinfo is not None


def test_an_exception_brings_its_stack_trace_for_error_reporting() -> None:
    stream = io.StringIO()
    set_up({}, stream)
    try:
        dict[str, int]()["who"]
    except KeyError:
        LOG.critical("broken", exc_info=True)
    (line,) = lines(stream)
    assert line["severity"] == "CRITICAL"
    assert line["stack_trace"].startswith("Traceback (most recent call last):\n")
    assert line["stack_trace"].endswith("KeyError: 'who'")


@given(st.text())
def test_any_message_is_one_line(message: str) -> None:
    record = logging.LogRecord("bqdump", logging.INFO, "", 0, "%s", (message,), None)
    line = JsonLines({}).format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == message


def test_a_terminal_gets_readable_lines() -> None:
    stream = Terminal()
    set_up({"run": "r"}, stream)
    LOG.info("fine")
    LOG.error("bad")
    fine, bad = stream.getvalue().splitlines()
    assert fine[8:] == " fine"
    assert bad[8:] == " error: bad"


def test_setting_up_again_replaces_the_labels() -> None:
    stream = io.StringIO()
    set_up({}, stream)
    set_up({"run": "r"}, stream)
    LOG.info("once")
    (line,) = lines(stream)
    assert line[LABELS] == {"run": "r"}
