"""Log records found by their event."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from bqdump.core.progress.log_events import LogEvent


def logged(caplog: pytest.LogCaptureFixture, event: LogEvent) -> list[logging.LogRecord]:
    """The records of this event."""
    return [record for record in caplog.records if getattr(record, "event", None) == event]


def lines_of(lines: Iterable[Mapping[str, Any]], event: LogEvent) -> list[Mapping[str, Any]]:
    """The decoded JSON lines of this event."""
    return [line for line in lines if line.get("event") == event]
