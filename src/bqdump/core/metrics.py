"""How safe datasets are, in Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/

Times are timestamps instead of ages: of a file that nothing writes any more, an age would stay what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from bqdump.core.recovery import Recovery
from bqdump.core.settings.settings import Settings

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metric(NamedTuple):
    """A gauge of each dataset. value: None where it is unknown, and left out."""

    name: str
    help: str
    value: Callable[[Recovery], float | None]


def _seconds(time: datetime | None) -> float | None:
    return time.timestamp() if time else None


OF_DATASETS = (
    Metric("published_timestamp_seconds", "Snapshot time of the published run.", lambda r: _seconds(r.published_time)),
    Metric(
        "recovery_point_timestamp_seconds",
        "Snapshot time of the newest run that is published, readable and proven in every table.",
        lambda r: _seconds(r.snapshot_time),
    ),
    Metric("restore_expected_seconds", "Expected time of a restore of the published run.", lambda r: r.restore_seconds),
    Metric("tables", "Tables of the published run.", lambda r: r.of),
    Metric("proven_tables", "Tables of the published run that drills have proven.", lambda r: r.proven_tables),
    Metric("failed_tables", "Tables missing from the published run because they failed.", lambda r: r.failed),
    Metric("proof_timestamp_seconds", "End of the newest of these drills.", lambda r: _seconds(r.proven)),
    Metric("oldest_proof_timestamp_seconds", "End of the oldest of these drills.", lambda r: _seconds(r.oldest_proof)),
    Metric("files", "Files of the published run.", lambda r: r.files),
    Metric("bytes", "Size of the files of the published run.", lambda r: r.bytes),
    Metric("rows", "Rows of the published run.", lambda r: r.rows),
    Metric("run_duration_seconds", "Duration of the jobs of the published run.", lambda r: r.seconds),
    Metric("run_billed_bytes", "Bytes billed by the queries of the published run.", lambda r: r.bytes_billed),
    Metric("locked_until_timestamp_seconds", "End of its lock.", lambda r: _seconds(r.locked_until)),
)
OBJECTIVE = "objective_seconds", "Objective: the age of the recovery point (rpo), the time of a restore (rto)."
BROKEN = "objective_broken", "Whether an objective is broken."
CHECKED = "checked_timestamp_seconds", "When these metrics were made."


def metrics_text(recoveries: Sequence[Recovery], settings: Settings, now: float) -> str:
    """All metrics. now: seconds since 1970 UTC."""
    return "".join(_lines(recoveries, settings, now))


def _lines(recoveries: Sequence[Recovery], settings: Settings, now: float) -> Iterator[str]:
    target = str(settings.target)
    for metric in OF_DATASETS:
        yield from _head(metric.name, metric.help)
        for recovery in recoveries:
            # Without a published run, a zero would be a number of something.
            if recovery.published and (value := metric.value(recovery)) is not None:
                yield _sample(metric.name, value, dataset=recovery.dataset, target=target)
    objectives = [(name, value) for name in ("rpo", "rto") if (value := getattr(settings, name)) is not None]
    yield from _head(*OBJECTIVE)
    for name, value in objectives:
        yield _sample(OBJECTIVE[0], value, objective=name, target=target)
    yield from _head(*BROKEN)
    for recovery in recoveries:
        for name, _ in objectives:
            broken = name in recovery.broken_objectives
            yield _sample(BROKEN[0], broken, dataset=recovery.dataset, objective=name, target=target)
    yield from _head(*CHECKED)
    yield _sample(CHECKED[0], now, target=target)


def _head(name: str, text: str) -> Iterator[str]:
    yield f"# HELP bqdump_{name} {text}\n# TYPE bqdump_{name} gauge\n"


def _sample(name: str, value: float, **labels: str) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    return f"bqdump_{name}{{{pairs}}} {float(value)!r}\n"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
