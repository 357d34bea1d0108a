"""Planning for 100,000 tables and 10,000 tasks with Zipf sizes, and the manifest of 100,000 tables.

Prints seconds, the peak memory of a process that does nothing else, and the balance of the shares: the heaviest share
divided by the lower bound (the mean share or the largest table, whichever is more), compared with round-robin.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from typing import Any

import msgspec
from benchmarks.size import sized

from bqdump.core.dealing import JOB_WEIGHT, share_out
from bqdump.core.documents.codec import decode, encode, encode_indented
from bqdump.core.documents.manifest import (
    File,
    Manifest,
    TableEntry,
    Totals,
)
from bqdump.core.documents.run import Plan
from bqdump.core.plan.routes import route_tables
from bqdump.core.plan.selection import choose
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.tables.catalog import Dataset, Listed, Table
from bqdump.core.units.plan import RunToPlan, make_plan
from bqdump.core.units.shares import read_units

TABLES, TASKS = sized((100_000, 10_000), (1_000, 100))
SECONDS, MEGABYTES = 10.0, 500.0
SETTINGS = Settings(project="proj", dataset="data", target=Target("gs", "target"))
SNAPSHOT = 1_800_000_000_000


def definition(name: str) -> msgspec.Raw:
    """A table's definition of about 1,000 bytes: ten columns."""
    fields = [{"name": f"column_{number}", "type": "STRING", "mode": "NULLABLE"} for number in range(10)]
    whole = {
        "kind": "bigquery#table",
        "etag": "abcdefghijkl==",
        "id": f"proj:data.{name}",
        "location": "EU",
        "tableReference": {"projectId": "proj", "datasetId": "data", "tableId": name},
        "schema": {"fields": fields},
    }
    return msgspec.Raw(json.dumps(whole).encode())


def zipf() -> list[int]:
    """Sizes in bytes, in random order: the n-th largest table has 10 TB / n."""
    sizes = [10**13 // rank for rank in range(1, TABLES + 1)]
    random.Random(1).shuffle(sizes)
    return sizes


def tables() -> list[Table]:
    """The dataset's tables with their definitions."""
    names = [f"table_{number:06}" for number in range(TABLES)]
    return [Table(name, "TABLE", size // 100, size, definition(name)) for name, size in zip(names, zipf(), strict=True)]


def measure_plan() -> dict[str, float]:
    """From the listing and the definitions to the bytes of plan and units."""
    described = tables()
    before = time.perf_counter()
    listing = [Listed(table.name, table.kind, 0) for table in described]
    selection = choose(listing, SETTINGS, SNAPSHOT)
    plan, units = make_plan(
        RunToPlan(SETTINGS, "run", "0123abcd", Dataset("proj", "data", "EU"), SNAPSHOT),
        selection,
        route_tables(SETTINGS, described),
        TASKS,
    )
    data = encode_indented(plan)
    seconds = time.perf_counter() - before
    peak = peak_megabytes()
    before = time.perf_counter()
    where = decode(data, Plan, "plan.json").shares[7]
    read = read_units(units[where.offset : where.offset + where.length], plan, 7)
    assert len(read) == where.units
    return {
        "seconds": seconds,
        "peak": peak,
        "plan MB": len(data) / 1e6,
        "units MB": len(units) / 1e6,
        "share seconds": time.perf_counter() - before,
    }


def measure_manifest() -> dict[str, float]:
    """From entries in memory to the bytes of the manifest."""
    entries = tuple(
        TableEntry(
            table=table.name,
            kind=table.kind,
            route="extract",
            unit=f"00000-{number:05}",
            jobs=("job",),
            planned_rows=table.rows,
            planned_bytes=table.bytes,
            created=SNAPSHOT,
            started=SNAPSHOT,
            ended=SNAPSHOT,
            task=0,
            files=(File(f"{table.name}/{table.name}_000000000000.csv", 1000, "AAAAAA==", SNAPSHOT),),
            definition=table.definition,
        )
        for number, table in enumerate(tables())
    )
    before = time.perf_counter()
    manifest = Manifest(
        run="run",
        tool="1",
        status="complete",
        project="proj",
        dataset="data",
        location="EU",
        snapshot_time="",
        snapshot=SNAPSHOT,
        mode="replace",
        settings=SETTINGS.frozen(),
        digest=SETTINGS.digest(),
        totals=Totals(TABLES, TABLES, 0, 0, 0),
        tables=entries,
        skipped=(),
        failed=(),
        left=(),
        found=(),
    )
    data = encode(manifest)
    seconds = time.perf_counter() - before
    return {"seconds": seconds, "peak": peak_megabytes(), "MB": len(data) / 1e6}


def measure_balance() -> dict[str, float]:
    """The heaviest share divided by the lower bound: largest first compared with round-robin."""
    weights = [size + JOB_WEIGHT for size in zipf()]
    bound = max(sum(weights) / TASKS, *weights)
    before = time.perf_counter()
    dealt = share_out(weights, TASKS)
    seconds = time.perf_counter() - before
    best = max(sum(weights[index] for index in share) for share in dealt)
    in_turn = max(sum(weights[start::TASKS]) for start in range(TASKS))
    # The largest table is larger than a mean share. The balance is visible only without the largest tables.
    flat = sorted(weights)[: TABLES - TASKS // 10]
    mean = max(sum(flat) / TASKS, flat[-1])
    even = max(sum(flat[index] for index in share) for share in share_out(flat, TASKS))
    return {
        "seconds": seconds,
        "largest first": best / bound,
        "in turn": in_turn / bound,
        "largest first, without the 1,000 largest": even / mean,
        "in turn, without the 1,000 largest": max(sum(flat[start::TASKS]) for start in range(TASKS)) / mean,
    }


def peak_megabytes() -> float:
    """The peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


PARTS = {"plan": measure_plan, "manifest": measure_manifest, "balance": measure_balance}


def main() -> None:
    print(f"{TABLES:,} tables, {TASKS:,} tasks; each part in a separate process")
    for part in PARTS:
        command = [sys.executable, "-m", "benchmarks.planning", part]
        found: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        print(f"{part}: " + ", ".join(f"{name} {value:,.3f}" for name, value in found.items()))
        if "peak" in found:
            time_, memory = found["seconds"] / SECONDS, found["peak"] / MEGABYTES
            print(f"  of the target: {time_:.2f} of {SECONDS:.0f} s, {memory:.2f} of {MEGABYTES:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(PARTS[sys.argv[1]]()))
    else:
        main()
