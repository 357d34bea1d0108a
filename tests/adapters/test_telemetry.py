"""Traces and metrics of runs, restores and drills, as an OpenTelemetry collector on loopback receives them."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import msgspec
import pytest

from bqdump import verbs
from bqdump.adapters.memory import MemoryStore
from bqdump.core.documents.run import Owner
from bqdump.core.errors import TablesFailedError
from bqdump.core.restore.drill import Sample
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.export.act import TaskResult
from bqdump.ports.warehouse import JobError
from bqdump_memory import MemoryDestination
from collector import Collector, collecting, values
from loopback import serving
from opened import Given
from restore.world import INTO, ExportedWorld

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"), header=False)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collecting() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "team=data")
        yield found


def run(failing: str = "") -> TaskResult:
    store, clock = MemoryStore(), itertools.count(1_800_000_000_000)
    big = MemoryDestination(
        store, lambda: next(clock), failing=lambda table, job: JobError("invalid", "no") if table == failing else None
    )
    for table in ("one", "two"):
        big.put("p", "d", table, ["a", "b"])
    services = Given(SETTINGS, lambda _: store, big)
    return asyncio.run(verbs.run_one(services, verbs.Start(SETTINGS, "r1", Owner("r1", 0), 1))).result


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


def test_a_restore_is_a_trace_of_tables_with_their_rows_and_all_their_jobs(collector: Collector) -> None:
    world = ExportedWorld({"one": ["a", "b"], "two": ["c"]})
    asyncio.run(verbs.restore(world.task(execution="again")))
    (root,) = collector.named("bqdump.restore")
    assert root.status.code == 0
    assert values(root.attributes) == {
        "bqdump.run": "again", "bqdump.exported_run": "r1", "bqdump.project": "project", "bqdump.dataset": "copy",
        "bqdump.task": 0,
    }  # fmt: skip
    tables = {values(span.attributes)["bqdump.table"]: span for span in collector.named("bqdump.table")}
    assert {name: values(span.attributes)["bqdump.rows"] for name, span in tables.items()} == {"one": 2, "two": 1}
    assert {span.trace_id for span in collector.spans} == {root.trace_id}
    jobs = collector.named("bqdump.job")
    assert {span.parent_span_id for span in jobs} == {span.span_id for span in tables.values()}
    assert all(values(span.attributes)["bqdump.job.id"].startswith("bqdump") for span in jobs)
    (rows,) = collector.metrics["bqdump.rows"].sum.data_points
    assert (rows.as_int, values(rows.attributes)["bqdump.command"]) == (3, "restore")


def test_a_table_that_is_not_restored_is_an_error_in_its_span_in_its_jobs_and_in_the_restores(
    collector: Collector,
) -> None:
    world = ExportedWorld({"one": ["a"], "two": ["c"]})
    world.big.failing = lambda table, job: JobError("invalid", "no") if table == "one" else None
    assert asyncio.run(verbs.restore(world.task())).state == "incomplete"
    failed = {span.name: span.status.message for span in collector.spans if span.status.code == 2}
    assert {"bqdump.restore", "bqdump.table", "bqdump.job"} == {*failed}
    assert failed["bqdump.table"] == failed["bqdump.job"] == "invalid: no"
    assert failed["bqdump.restore"] == "one: invalid: no"


def test_a_drill_that_proves_nothing_is_an_error_in_its_span(collector: Collector) -> None:
    world = ExportedWorld({"one": ["a"]})
    world.change_manifest(tables=(msgspec.structs.replace(world.manifest.tables[0], rows=7),))
    done = asyncio.run(verbs.drill(world.task(msgspec.structs.replace(INTO, dataset="")), Sample()))
    (root,) = collector.named("bqdump.drill")
    assert (root.status.code, root.status.message) == (2, done.problems[0])
    assert values(root.attributes) == {
        "bqdump.run": "first", "bqdump.exported_run": "r1", "bqdump.project": "project", "bqdump.task": 0,
    }  # fmt: skip
    (table,) = collector.named("bqdump.table")
    assert "7" in table.status.message
    (point,) = collector.metrics["bqdump.tables"].sum.data_points
    found = values(point.attributes)
    assert (found["bqdump.command"], found["outcome"]) == ("drill", "failed")


@pytest.mark.parametrize("off", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}])
def test_nothing_is_sent_by_default(collector: Collector, monkeypatch: pytest.MonkeyPatch, off: dict[str, str]) -> None:
    for name, value in off.items():
        monkeypatch.setenv(name, value)
    run()
    assert collector.spans == []


def failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says of telemetry."""
    return [record.getMessage() for record in caplog.records if getattr(record, "event", "") == "telemetry_failed"]


def test_a_collector_that_is_gone_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bqdump.adapters.telemetry.DEADLINE", 0.5)
    with collecting() as gone:
        pass
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", gone.url)
    run()
    assert len(failures(caplog)) == 1


class Silent(BaseHTTPRequestHandler):
    """A collector that takes a request and never answers while the client waits."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.connection.recv(1)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_collector_that_never_answers_does_not_keep_a_run_from_ending(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bqdump.adapters.telemetry.DEADLINE", 0.5)
    # With this, each request would be waited for longer than a test may take.
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")
    with serving(Silent) as address:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        run()
    assert len(failures(caplog)) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0"), ("OTEL_BSP_MAX_QUEUE_SIZE", "many"), ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "999999"), ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem"), ("OTEL_EXPORTER_OTLP_ENDPOINT", "nowhere"),
        ("OTEL_TRACES_SAMPLER", "sometimes"), ("OTEL_EXPORTER_OTLP_HEADERS", "a"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "-1"), ("OTEL_RESOURCE_ATTRIBUTES", "team"),
    ],
)  # fmt: skip
def test_a_variable_that_cannot_be_used_is_at_most_a_warning(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str, value: str
) -> None:
    monkeypatch.setattr("bqdump.adapters.telemetry.DEADLINE", 1.0)
    monkeypatch.setenv(name, value)
    assert run().state == "published"
    assert len(failures(caplog)) <= 1


def test_missing_packages_are_named_and_the_run_goes_on(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "bqdump.adapters.telemetry", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.metrics", None)
    run()
    (line,) = [record for record in caplog.records if getattr(record, "event", "") == "telemetry_missing"]
    assert "bqdump[otel]" in line.getMessage()
    assert collector.spans == []
