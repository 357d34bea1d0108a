"""Traces and metrics of a run, as an OpenTelemetry collector on loopback receives them."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bqdump import verbs
from bqdump.adapters.memory import MemoryDestination, MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import TablesFailedError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.ports.warehouse import JobError
from bqdump.services import LazyReadRoute, Services

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), header=False)


class Collector:
    """What was received."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        self.resources: list[dict[str, str]] = []

    def named(self, name: str) -> list[Any]:
        return [span for span in self.spans if span.name == name]


def values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
            if self.path == "/v1/traces":
                for sent in ExportTraceServiceRequest.FromString(body).resource_spans:
                    found.resources.append(values(sent.resource.attributes))
                    found.spans += [span for scope in sent.scope_spans for span in scope.spans]
            else:
                for measured in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    found.metrics |= {one.name: one for scope in measured.scope_metrics for one in scope.metrics}
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=data")
        yield found


def run(failing: str = "") -> None:
    store, clock = MemoryStore(), itertools.count(1_800_000_000_000)
    big = MemoryDestination(
        store, lambda: next(clock), failing=lambda table, job: JobError("invalid", "no") if table == failing else None
    )
    for table in ("one", "two"):
        big.put("p", "d", table, ["a", "b"])
    services = Services(store, big, LazyReadRoute(SETTINGS))
    asyncio.run(verbs.run(services, SETTINGS, "r1", Owner("r1", 0), 1))


def test_a_run_is_a_trace_of_tables_and_their_jobs(collector: Collector) -> None:
    run()
    (root,) = collector.named("bqdump.run")
    tables, jobs = collector.named("bqdump.table"), collector.named("bqdump.job")
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    assert values(root.attributes) == {
        "bqdump.run": "r1", "bqdump.project": "p", "bqdump.dataset": "d", "bqdump.task": 0,
    }  # fmt: skip
    assert {values(span.attributes)["bqdump.table"] for span in tables} == {"one", "two"}
    assert {span.parent_span_id for span in tables} == {root.span_id}
    assert {span.parent_span_id for span in jobs} == {span.span_id for span in tables}
    assert all("bqdump.job.id" in values(span.attributes) for span in jobs)
    resource = collector.resources[0]
    assert (resource["service.name"], resource["team"]) == ("bqdump", "data")
    (point,) = collector.metrics["bqdump.tables"].sum.data_points
    assert (point.as_int, values(point.attributes)["outcome"]) == (2, "done")


def test_a_table_that_fails_is_an_error_in_its_span_and_in_the_runs(collector: Collector) -> None:
    with pytest.raises(TablesFailedError):
        run(failing="one")
    failed = [span for span in collector.spans if span.status.code == 2]
    assert {span.name for span in failed} == {"bqdump.run", "bqdump.table"}
    assert "invalid: no" in next(span for span in failed if span.name == "bqdump.table").status.message


def test_tasks_of_a_run_are_one_trace(collector: Collector) -> None:
    run()
    run()
    assert len({span.trace_id for span in collector.named("bqdump.run")}) == 1


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}])
def test_without_being_asked_nothing_is_sent(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, off: dict[str, str]
) -> None:
    for name, value in off.items():
        monkeypatch.setenv(name, value)
    run()
    assert collector.spans == []


def test_a_collector_that_is_gone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bqdump.adapters.telemetry.FLUSH_MS", 100)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    with collecting() as gone:
        pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", gone.url)
    run()


def test_missing_packages_are_named_and_the_run_goes_on(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "bqdump.adapters.telemetry")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    run()
    (line,) = [record for record in caplog.records if getattr(record, "event", "") == "telemetry_missing"]
    assert ".[otel]" in line.getMessage()
    assert collector.spans == []
