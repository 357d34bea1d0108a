"""Traces and metrics through OpenTelemetry's SDK, which reads the standard OTEL_* variables itself.

https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, Status, StatusCode, TraceFlags, set_span_in_context

from bqdump.adapters.threads import Detached
from bqdump.core.progress.events import Billed, Event, Incomplete, Restoring
from bqdump.core.progress.work import Attributes, Span, Spans, trace_id
from bqdump.core.version import VERSION

MS = 1_000_000
# Seconds for all that is left at the end: a task must not stay up for a collector that does not answer.
DEADLINE = 5.0


class Telemetry:
    """The spans and metrics of one task of a command: run, restore or drill."""

    def __init__(self, command: str, run: str, attributes: Attributes) -> None:
        resource = Resource.create({"service.name": "bqdump", "service.version": VERSION, **_named()})
        # Python would wait for the collector when it exits, too.
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        spans, metrics = _span_exporter(), _metric_exporter()
        self._exporters = [exporter for exporter in (spans, metrics) if exporter]
        if spans:
            self._traces.add_span_processor(BatchSpanProcessor(spans))
        readers = [PeriodicExportingMetricReader(metrics)] if metrics else []
        self._metrics = MeterProvider(readers, resource, shutdown_on_exit=False)
        self._tracer = self._traces.get_tracer("bqdump", VERSION)
        meter = self._metrics.get_meter("bqdump", VERSION)
        self._tables = meter.create_counter("bqdump.tables", "{table}", "Tables that are done or failed")
        self._rows = meter.create_counter("bqdump.rows", "{row}", "Rows exported or restored, where they are known")
        self._billed = meter.create_counter("bqdump.bytes_billed", "By", "Bytes billed by queries and statements")
        self._seconds = meter.create_histogram("bqdump.job.duration", "s", "BigQuery jobs, from creation to end")
        self._common: Attributes = {"bqdump.command": command, **attributes}
        self._root = self._tracer.start_span(
            f"bqdump.{command}", _parent(run), attributes={"bqdump.run": run, **attributes}
        )
        self._spans = Spans(lambda: time.time_ns() // MS, self._table)

    def hear(self, event: Event) -> None:
        """A listener of events."""
        self._spans.hear(event)
        match event:
            case Restoring():
                self._root.set_attribute("bqdump.exported_run", event.run)
            case Billed():
                self._billed.add(event.bytes, self._common)
            case Incomplete():
                self._root.set_status(Status(StatusCode.ERROR, event.problem))

    def end(self, error: str = "") -> None:
        """End the command's span, and send what is left. Raises TimeoutError if that takes longer than DEADLINE."""
        if error:
            self._root.set_status(Status(StatusCode.ERROR, error))
        self._root.end()
        # Side by side: neither waits for the other's collector. Shutting down sends what is left.
        sending = [Detached().submit(provider.shutdown) for provider in (self._traces, self._metrics)]
        if wait(sending, DEADLINE).not_done:
            for exporter in self._exporters:
                # It stops trying.
                exporter.shutdown()
            raise TimeoutError(f"the collector has not taken everything within {DEADLINE:g} seconds")

    def _table(self, span: Span) -> None:
        context = self._add(span, set_span_in_context(self._root))
        outcome = {**self._common, "outcome": "failed" if span.error else "done"}
        self._tables.add(1, outcome)
        self._rows.add(int(span.attributes.get("bqdump.rows", 0)), self._common)
        self._billed.add(int(span.attributes.get("bqdump.bytes_billed", 0)), self._common)
        for job in span.jobs:
            self._add(job, context)
            self._seconds.record((job.end - job.begin) / 1000, self._common)

    def _add(self, span: Span, parent: Any) -> Any:
        started = self._tracer.start_span(span.name, parent, attributes=span.attributes, start_time=span.begin * MS)
        if span.error:
            started.set_status(Status(StatusCode.ERROR, span.error))
        started.end(span.end * MS)
        return set_span_in_context(started)


def _parent(run: str) -> Any:
    """All tasks of a run are in one trace, whose id follows from the run's name."""
    number = trace_id(run)
    context = SpanContext(number, number & (2**64 - 1) or 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    return set_span_in_context(NonRecordingSpan(context))


def _named() -> dict[str, str]:
    name = os.environ.get("OTEL_SERVICE_NAME", "")
    return {"service.name": name} if name else {}


def _span_exporter() -> SpanExporter | None:
    exporter: SpanExporter | None = _chosen("OTEL_TRACES_EXPORTER", ConsoleSpanExporter, _otlp_spans)
    return exporter


def _metric_exporter() -> MetricExporter | None:
    exporter: MetricExporter | None = _chosen("OTEL_METRICS_EXPORTER", ConsoleMetricExporter, _otlp_metrics)
    return exporter


def _chosen(variable: str, console: Callable[[], Any], otlp: Callable[[], Any]) -> Any:
    name = os.environ.get(variable, "").strip() or "otlp"
    return {"none": lambda: None, "console": console}.get(name, otlp)()


def _otlp_spans() -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _otlp_metrics() -> MetricExporter:
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return OTLPMetricExporter()
