"""Traces and metrics of a command, where the OTEL_* variables ask for them and the extra is installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bqdump.adapters import lean_imports
from bqdump.core.errors import install_hint, words_of
from bqdump.core.progress.events import Event, Listener
from bqdump.core.progress.log_events import LogEvent

if TYPE_CHECKING:
    from bqdump.adapters.telemetry import Telemetry

log = logging.getLogger(__name__)
# Variables of OpenTelemetry that ask for traces or metrics.
OTEL = (
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"),
    *("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"),
)


class _Reported(logging.Handler):
    """What OpenTelemetry logs, as one line of bqdump's log: the first of it; the rest repeats it for every batch."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._reported = False

    def emit(self, record: logging.LogRecord) -> None:
        """See the base class."""
        self.report(record.getMessage())

    def report(self, cause: object) -> None:
        """Log that traces and metrics are not complete, once."""
        if not self._reported:
            self._reported = True
            message = "traces and metrics are not complete: %s"
            log.warning(message, " ".join(str(cause).split()), extra=LogEvent.TELEMETRY_FAILED.extra())


@contextmanager
def observed(command: str, run: str, attributes: Mapping[str, str | int], tell: Listener) -> Iterator[Listener]:
    """A listener that also makes traces and metrics, where the OTEL_* variables ask for them, for the `with` block.

    An error of these is only logged.
    """
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or not any(os.environ.get(name) for name in OTEL):
        yield tell
        return
    with _reporting() as reported:
        telemetry = _telemetry(command, run, attributes, reported)
        if telemetry is None:
            yield tell
            return

        def both(event: Event) -> None:
            with _harmless(reported):
                telemetry.hear(event)
            tell(event)

        error = ""
        try:
            yield both
        except Exception as raised:
            error = words_of(raised)
            raise
        finally:
            with _harmless(reported):
                telemetry.end(error)


@contextmanager
def _reporting() -> Iterator[_Reported]:
    """Hand over what OpenTelemetry logs within this block."""
    reported, library = _Reported(), logging.getLogger("opentelemetry")
    library.addHandler(reported)
    propagated, library.propagate = library.propagate, False
    try:
        yield reported
    finally:
        # Threads that are given up may go on logging.
        library.removeHandler(reported)
        library.addHandler(logging.NullHandler())
        library.propagate = propagated


@contextmanager
def _harmless(reported: _Reported) -> Iterator[None]:
    """Report an error instead of raising it."""
    try:
        yield
    # Of any kind: it is no fault of the command's.
    except Exception as error:
        reported.report(error)


def _telemetry(command: str, run: str, attributes: Mapping[str, str | int], reported: _Reported) -> Telemetry | None:
    try:
        # BigQuery's client may still be imported, by a thread of its own.
        with lean_imports.IMPORTS:
            lean_imports.allow("opentelemetry")
            lean_imports.put_nothing_off()
            from bqdump.adapters.telemetry import Telemetry
    except ImportError as error:
        message = "no traces and metrics: %s is not installed. %s"
        log.warning(message, error.name, install_hint("otel"), extra=LogEvent.TELEMETRY_MISSING.extra())
        return None
    try:
        return Telemetry(command, run, attributes)
    # Of any kind, such as for a variable with a value that cannot be used.
    except Exception as error:
        reported.report(error)
        return None
