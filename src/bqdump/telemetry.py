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


@contextmanager
def observed(command: str, run: str, attributes: Mapping[str, str | int], tell: Listener) -> Iterator[Listener]:
    """A listener that also makes traces and metrics, where the OTEL_* variables ask for them, for the `with` block.

    An error of these is only logged.
    """
    telemetry = _telemetry(command, run, attributes)
    if telemetry is None:
        yield tell
        return

    def both(event: Event) -> None:
        telemetry.hear(event)
        tell(event)

    error = ""
    try:
        yield both
    except Exception as raised:
        error = words_of(raised)
        raise
    finally:
        telemetry.end(error)


def _telemetry(command: str, run: str, attributes: Mapping[str, str | int]) -> Telemetry | None:
    disabled = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if disabled or not any(os.environ.get(name) for name in OTEL):
        return None
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
    return Telemetry(command, run, attributes)
