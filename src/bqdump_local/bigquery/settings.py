"""Settings of jobs: delays, limits and faults. They can be changed while the server runs."""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from bqdump_local import clock
from bqdump_local.bigquery.errors import invalid

# The account that runs all jobs.
USER = "local@bqdump-local.iam.gserviceaccount.com"


@dataclass
class Fault:
    """An error to inject.

    at: `insert` (the request is refused and no job exists), `accepted` (the job exists, but the answer is an error) or
        `run` (the job ends with the error).
    table: a regular expression that must match in the name of the table.
    reason: empty for a delay only.
    times: how often, counted down.
    """

    at: str = "run"
    table: str = ""
    reason: str = "backendError"
    message: str = "An injected error."
    times: int = 1
    delay: float = 0.0


@dataclass
class JobSettings:
    """Settings of jobs. With the defaults, they behave like a fast BigQuery.

    empty_table_files: the number of files for a table without rows.
    empty_shards: the number of files without rows that a job with a `*` writes between those with rows.
    bare_empty_files: CSV and JSON files without rows have 0 bytes, without header or gzip.
    any_table_names: tables can have names that BigQuery refuses.
    partitions_per_job: how many partitions one job can change.
    largest_unsplit_bytes: the largest file that a load job reads as one.
    """

    pending_seconds: float = 0.0
    run_seconds: float = 0.0
    max_running: int = 50
    shard_bytes: int = 1_000_000_000
    empty_table_files: int = 1
    empty_shards: int = 0
    bare_empty_files: bool = False
    any_table_names: bool = False
    partitions_per_job: int = 4000
    largest_unsplit_bytes: int = 4 << 30
    read_stream_bytes: int = 64_000_000
    read_batch_bytes: int = 1_000_000
    faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def now_ms(self) -> int:
        """The server's clock, in milliseconds since 1970 UTC."""
        return clock.now_ns() // 1_000_000

    def take(self, at: str, table: str) -> Fault | None:
        """The next fault for this stage and table, if any, which counts down."""
        with self._lock:
            for fault in self.faults:
                if fault.at == at and fault.times > 0 and re.search(fault.table, table):
                    fault.times -= 1
                    return fault
        return None

    def to_json(self) -> dict[str, Any]:
        """The settings in the format of the control route."""
        with self._lock:
            plain = {f.name: getattr(self, f.name) for f in fields(self) if not f.name.startswith("_")}
            return {**plain, "faults": [asdict(fault) for fault in self.faults]}

    def update(self, changes: dict[str, Any]) -> None:
        """Change the given settings, and keep the others."""
        known = {f.name for f in fields(self) if not f.name.startswith("_")}
        if unknown := set(changes) - known:
            raise invalid(f"Unknown setting: {', '.join(sorted(unknown))}")
        try:
            faults = [Fault(**fault) for fault in changes.get("faults", [])]
        except TypeError as error:
            raise invalid(f"Unknown key in a fault: {error}") from error
        with self._lock:
            for name, value in changes.items():
                setattr(self, name, faults if name == "faults" else value)
