"""Log lines, on standard error: JSON as Cloud Logging reads it, or text for people.

Source: https://cloud.google.com/logging/docs/structured-logging,
https://cloud.google.com/error-reporting/docs/formatting-error-messages
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TextIO

from msgspec import Struct

from bqdump.cli.errors import sentence
from bqdump.cli.progress import Follower, following
from bqdump.cli.streams import OutputError, silence
from bqdump.core.errors import BqdumpError
from bqdump.core.progress.log_events import DATASET, LogEvent, help_of
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.task_identity import engine_of

LABELS = "logging.googleapis.com/labels"
FIELDS = ("event", "risk", "progress", "bytes", "rows", "bytes_billed")
# Attributes of a record that are labels of its line.
ABOUT = ("run", "table", "target")
# Values of --log-format. auto: JSON for the tasks of an engine, such as Cloud Run, and text everywhere else.
FORMATS = ("auto", "json", "text")


class Choice(Struct, frozen=True):
    """The log options of this invocation. verbose: how many times -v was given."""

    format: str = "auto"
    verbose: int = 0


_choice = Choice()
# What is wrong with documents.
SAID_ONCE = (LogEvent.LATEST_UNREADABLE, LogEvent.SET_PLAN_UNREADABLE)
# Loggers of the client libraries, shown by -vv.
LIBRARIES = ("google", "urllib3", "grpc")


def message_of(record: logging.LogRecord) -> str:
    """The message; errors in it name settings as flags."""
    if not isinstance(record.args, tuple) or not any(isinstance(argument, BqdumpError) for argument in record.args):
        return record.getMessage()
    values = tuple(sentence(argument) if isinstance(argument, BqdumpError) else argument for argument in record.args)
    return str(record.msg) % values


class JsonLines(logging.Formatter):
    """One JSON object a line, with `labels`; a record's own `run`, `table`, `target` and `dataset` replace them.

    FIELDS are fields of the line: filters in Cloud Logging find them as `jsonPayload.event`.
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        super().__init__()
        self._labels = dict(labels)

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line of JSON."""
        labels = self._labels
        if dataset := getattr(record, "dataset", None) or DATASET.get():
            labels = labels | {"dataset": str(dataset)}
        labels = labels | {name: str(value) for name in ABOUT if (value := getattr(record, name, None))}
        line: dict[str, object] = {
            "severity": record.levelname,
            "message": message_of(record),
            "time": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
            LABELS: labels,
        }
        if record.levelno >= logging.WARNING:
            line["help"] = help_of(getattr(record, "event", ""))
        line |= {field: value for field in FIELDS if (value := getattr(record, field, None)) not in (None, "")}
        if record.exc_info:
            line["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class PlainLines(logging.Formatter):
    """Time and message; the severity where it matters, and a stack trace where BQDUMP_DEBUG is set."""

    def __init__(self) -> None:
        super().__init__()
        self._traces = bool(os.environ.get("BQDUMP_DEBUG"))

    def format(self, record: logging.LogRecord) -> str:
        """The record as a readable line."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        dataset = DATASET.get()
        line = f"{time} {level}{dataset and f'{dataset}: '}{message_of(record)}"
        return f"{line}\n{self.formatException(record.exc_info)}" if self._traces and record.exc_info else line


def event_of(line: str) -> str:
    """The event of a line of JsonLines, "" for any other line."""
    try:
        return str(json.loads(line)["event"])
    except (ValueError, KeyError, TypeError):
        return ""


def readable(line: str, *, quiet: bool = False, bars: bool = True) -> str | None:
    """A line of JsonLines for people; any other line as it is. None where bars show it, or where quiet hides it."""
    try:
        record = json.loads(line)
        severity, message = record["severity"], record["message"]
    except (ValueError, KeyError, TypeError):
        return line
    if severity in ("DEBUG", "INFO"):
        return None if quiet or (bars and event_of(line) == LogEvent.TABLE_EXPORTED) else str(message)
    return f"{severity.lower()}: {message}"


class Lines(logging.StreamHandler[TextIO]):
    """Writes a line for each record. Where the stream takes no more, what is logged goes on without it."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (the name is logging's)
        """See logging.Handler."""
        if isinstance(sys.exc_info()[1], (OSError, OutputError)):
            silence(self.stream)
        else:
            super().handleError(record)


class Beside(logging.Handler):
    """Hands readable lines to the bars on the terminal, without the lines on exported tables, which the bars show."""

    def __init__(self, print_line: Callable[[str], None]) -> None:
        super().__init__()
        self._print = print_line
        self.setFormatter(PlainLines())

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record."""
        if record.levelno > logging.INFO or getattr(record, "event", "") != LogEvent.TABLE_EXPORTED:
            self._print(self.format(record))


class Once(logging.Filter):
    """Passes what is wrong with a stored document once: it is read as often as it is needed."""

    def __init__(self) -> None:
        super().__init__()
        self._said = set[tuple[str, str]]()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if getattr(record, "event", "") not in SAID_ONCE:
            return True
        said = DATASET.get(), message_of(record)
        new = said not in self._said
        self._said.add(said)
        return new


_once = Once()


def choose(choice: Choice) -> None:
    """Take over the log options of this invocation; they hold for every later set_up."""
    global _choice, _once
    _choice, _once = choice, Once()


def as_json() -> bool:
    """Whether log lines are JSON: where asked for, and as a task of Cloud Run or of another engine."""
    return _choice.format == "json" or (_choice.format == "auto" and engine_of(os.environ) is not None)


def set_up(
    labels: Mapping[str, str],
    *,
    level: int = logging.INFO,
    print_line: Callable[[str], None] | None = None,
) -> None:
    """Send bqdump's log lines to standard error, or to what draws on the terminal."""
    handler: logging.Handler
    if print_line:
        handler = Beside(print_line)
    else:
        handler = Lines(sys.stderr)
        handler.setFormatter(JsonLines(labels) if as_json() else PlainLines())
    handler.addFilter(_once)
    logger = logging.getLogger("bqdump")
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if _choice.verbose else level)
    logger.propagate = False
    libraries = [handler] if _choice.verbose > 1 else []
    for name in LIBRARIES:
        library = logging.getLogger(name)
        library.handlers[:] = libraries
        library.setLevel(logging.DEBUG if libraries else logging.NOTSET)


def set_up_errors() -> None:
    """Log warnings and errors only: what commands do whose result is all that counts."""
    set_up({}, level=logging.WARNING)


def labels_of(settings: Settings, *, task: str) -> dict[str, str]:
    """The labels of every line of a command on an export: the task, and the dataset where the settings name it."""
    return {name: value for name, value in (("task", task), ("dataset", settings.dataset)) if value}


def set_up_work(labels: Mapping[str, str], *, quiet: bool) -> None:
    """Log what happens, as commands do that change something; with quiet, warnings and errors only."""
    set_up(labels, level=logging.WARNING if quiet else logging.INFO)


@contextmanager
def work_shown(labels: Mapping[str, str], *, quiet: bool) -> Iterator[Follower]:
    """Log lines and progress on standard error for as long as the `with` block: bars where that is a terminal.

    What is logged has these labels. Bars and JSON lines on one terminal would overwrite each other.
    """
    with following(quiet=quiet, bars=not as_json()) as follower:
        level = logging.WARNING if quiet else logging.INFO
        set_up(labels, level=level, print_line=follower.shown.print)
        yield follower


def logs_json() -> bool:
    """Whether bqdump's log lines are JSON, so that an error must be one as well."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger("bqdump").handlers)
