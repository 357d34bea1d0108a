"""The read route, compared with the usual hand-written code and with the encoder alone.

A local gRPC server, in a separate process, serves prebuilt Arrow batches as fast as it can. In each round, each
contender in turn reads all of them into one file per stream, on a file system in memory:

  loop      google-cloud-bigquery-storage, each batch into pyarrow's writer
  pandas    the same client's to_dataframe(), then to_parquet() or to_csv(), in an environment that this script creates
  bqdump    export/work/read.py on the real adapters, to a local folder
  encoder   bqdump's encoder on the same batches in memory: the limit
  receive   bqdump's reader without an encoder: encoder and receive together, on all cores, are the floor

It prints ratios of the best rounds, for wall time and for client CPU, since the server shares the machine. Imports are
not measured. There are three tables: orders, with much text; TPC-H's lineitem; and readings, mostly numbers.

    python -m benchmarks.read_route [--rounds 5] [--without-pandas]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.read_route_contenders import CONTENDERS, FORMATS, READ_MEMORY
from benchmarks.read_route_server import serving
from benchmarks.read_route_tables import ROWS, STREAMS
from benchmarks.read_route_tables import table as made
from benchmarks.size import sized

# Tables and rows per answer. The service is reported to send 1,024 rows per answer, of any size
# (https://github.com/GoogleCloudDataproc/hadoop-connectors/issues/245); with eight times as many, all are faster.
SERVED = sized(
    (("orders", 1_000), ("lineitem", 1_000), ("readings", 1_000), ("orders", 8_000), ("lineitem", 8_000)),
    (("lineitem", 500),),
)
COMPARED = sized(tuple(FORMATS), ("csv",))
# The memory of a process that reads a table ten times as large. Allocators keep unused address space, which RLIMIT_DATA
# counts; with these settings they release it.
MEMORY_LIMIT, TIMES_LARGER = 512 << 20, sized(10.0, 0.001)
BOUNDED = sized(("parquet", "csv.gz"), ("csv.gz",))
ALLOCATORS = {"MALLOC_ARENA_MAX": "2", "_RJEM_MALLOC_CONF": "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0"}


def measured(
    name: str, address: str, format_: str, table: str, python: str = sys.executable, limit: int = 0
) -> dict[str, Any]:
    """The figures that a contender prints. limit: the maximum size of its data and heap in bytes."""

    def limited() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            # The data limit includes the stacks of threads: a megabyte each.
            resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))

    done = subprocess.run(
        [python, "-W", "ignore", "-m", "benchmarks.read_route_contenders", name, address, format_, table],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limited if limit else None,
        env={**os.environ, "PYTHONPATH": f"{Path.cwd()}", **(ALLOCATORS if limit else {})},
    )
    if done.returncode:
        raise SystemExit(f"{name} exited with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def pandas_environment(folder: Path) -> str:
    """The Python of an environment with the packages that users of pandas have."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    packages = ["google-cloud-bigquery-storage[pandas]", "pyarrow", "fastavro"]
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", *packages], check=True)
    return str(folder / "bin/python")


def compare(rounds: int, python: str, table: str, batch_rows: int) -> None:
    """Run all contenders in all formats, and print ratios of the best rounds."""
    names = [name for name in CONTENDERS if name != "pandas" or python]
    with serving(table, ROWS, 1, batch_rows) as (address, size, rows):
        batches = f"{rows:,} rows in batches of {batch_rows:,}, {size / 1e6:.0f} MB of Arrow"
        print(f"{table}: {batches}, {STREAMS} streams, {os.cpu_count()} cores\n")
        for format_ in COMPARED:
            best: dict[str, dict[str, Any]] = {}
            for round_ in range(rounds):
                # pandas loads everything and takes long: once is enough.
                for name in names if round_ == 0 else [name for name in names if name != "pandas"]:
                    found = measured(name, address, format_, table, python if name == "pandas" else sys.executable)
                    assert found["rows"] == rows, (name, found)
                    known = best.setdefault(name, found)
                    best[name] = {**found, **{key: min(known[key], found[key]) for key in ("wall", "cpu")}}
            print(f"{format_:8} {'wall s':>8} {'MB/s':>7} {'cpu s':>7} {'file MB':>8} {'peak MB':>8}")
            for name, found in best.items():
                times = f"{found['wall']:8.2f} {size / 1e6 / found['wall']:7.0f} {found['cpu']:7.2f}"
                print(f"{name:8} {times} {found['size'] / 1e6:8.1f} {found['peak'] / 1e6:8.0f}")
            ours, cores = best["bqdump"], os.cpu_count() or 1
            floor = sum(best[name]["cpu"] for name in ("encoder", "receive")) / min(cores, STREAMS)
            loop, encoder = best["loop"], best["encoder"]
            print(f"bqdump: {loop['wall'] / ours['wall']:.2f} x as fast as the loop (wall time),")
            print(
                f"{ours['cpu'] / encoder['cpu']:.2f} x the encoder's CPU, {ours['cpu'] / loop['cpu']:.2f} x the loop's."
            )
            print(f"The floor, without a server on these cores, is {loop['wall'] / floor:.2f} x\n")


def bounded() -> None:
    """A table ten times larger than the memory limit, in a small process."""
    repeat = math.ceil(TIMES_LARGER * MEMORY_LIMIT / made("orders", ROWS).nbytes)
    with serving("orders", ROWS, repeat) as (address, size, rows):
        for format_ in BOUNDED:
            found = measured("bqdump", address, format_, "orders", limit=MEMORY_LIMIT)
            assert found["rows"] == rows, found
            limits = f"RLIMIT_DATA {MEMORY_LIMIT >> 20} MiB and --read-memory {READ_MEMORY // 10**6} MB"
            figures = f"peak resident {found['peak'] / 1e6:.0f} MB, {size / 1e6 / found['wall']:.0f} MB/s"
            print(f"{format_:8} {size / 1e9:.2f} GB of Arrow within {limits}: {figures}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.read_route")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-pandas", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        python = "" if arguments.without_pandas else pandas_environment(Path(folder) / "pandas")
        for name, batch_rows in SERVED:
            compare(arguments.rounds, python, name, batch_rows)
        bounded()


if __name__ == "__main__":
    main()
