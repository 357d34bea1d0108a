"""Log lines: JSON as Cloud Logging reads it, or text for people.

Source: https://cloud.google.com/logging/docs/structured-logging,
https://cloud.google.com/error-reporting/docs/formatting-error-messages
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, TextIO

from bqdump.cli.errors import sentence
from bqdump.cli.streams import OutputError, silence
from bqdump.core.errors import BqdumpError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.progress.subject import DATASET

LABELS = "logging.googleapis.com/labels"
FIELDS = ("event", "risk", "progress", "bytes_billed")
# Attributes of a record that are labels of its line.
ABOUT = ("table", "target")
# Values of --log-format. auto: text on a terminal and JSON elsewhere for `run`, text for every other command.
FORMATS = ("auto", "json", "text")


class Choice(NamedTuple):
    """The log options of this invocation. verbose: how many times -v was given."""

    format: str = "auto"
    verbose: int = 0


_choice = Choice()
# Loggers of the client libraries, shown by -vv.
LIBRARIES = ("google", "urllib3", "grpc")


def message_of(record: logging.LogRecord) -> str:
    """The message; errors in it name settings as flags."""
    if not isinstance(record.args, tuple) or not any(isinstance(one, BqdumpError) for one in record.args):
        return record.getMessage()
    values = tuple(sentence(one) if isinstance(one, BqdumpError) else one for one in record.args)
    return str(record.msg) % values


class JsonLines(logging.Formatter):
    """One JSON object a line, with `labels`; a record's `table` and `target` are others, its `dataset` replaces theirs.

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
        line |= {field: value for field in FIELDS if (value := getattr(record, field, None))}
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


def readable(line: str, *, quiet: bool = False) -> str | None:
    """A line of JsonLines for people; any other line as it is. None where bars show it, or where quiet hides it."""
    try:
        record = json.loads(line)
        severity, message = record["severity"], record["message"]
    except (ValueError, KeyError, TypeError):
        return line
    if severity in ("DEBUG", "INFO"):
        return None if quiet or event_of(line) == LogEvent.TABLE_EXPORTED else str(message)
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


def choose(choice: Choice) -> None:
    """Take over the log options of this invocation; they hold for every later set_up."""
    global _choice
    _choice = choice


def as_json(stream: TextIO) -> bool:
    """Whether `run` logs JSON to this stream."""
    return _choice.format == "json" or (_choice.format == "auto" and not stream.isatty())


def set_up(
    labels: Mapping[str, str],
    stream: TextIO,
    *,
    level: int = logging.INFO,
    json_lines: bool | None = None,
    print_line: Callable[[str], None] | None = None,
) -> None:
    """Send bqdump's log lines to the stream, or to what draws on the terminal.

    json_lines: JSON instead of text (default: as `run` does).
    """
    handler: logging.Handler
    if print_line:
        handler = Beside(print_line)
    else:
        handler = Lines(stream)
        plain = not (as_json(stream) if json_lines is None else json_lines)
        handler.setFormatter(PlainLines() if plain else JsonLines(labels))
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
    """Send warnings and errors of a command other than `run` to standard error."""
    set_up({}, sys.stderr, level=logging.WARNING, json_lines=_choice.format == "json")


def logs_json() -> bool:
    """Whether bqdump's log lines are JSON, so that an error must be one as well."""
    return any(isinstance(handler.formatter, JsonLines) for handler in logging.getLogger("bqdump").handlers)
