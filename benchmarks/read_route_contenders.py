"""The contenders of the read route's benchmark, each run in a separate process.

Each is a function that prepares what is not measured, and returns the function to measure, which returns rows.
"""

from __future__ import annotations

import asyncio
import gzip
import importlib
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.read_route_server import SESSION
from benchmarks.read_route_tables import ROWS, STREAMS, definition

FORMATS = {"parquet": ("parquet", "zstd"), "csv": ("csv", "none"), "csv.gz": ("csv", "gzip")}
# The modules that are imported with the first file of a format.
ENCODERS = {"parquet": "bqdump.adapters.read.parquet_files", "csv": "bqdump.adapters.read.text_files"}
READ_MEMORY = 128 * 10**6


def client(address: str) -> Any:
    """Google's client."""
    import grpc
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def opened(google: Any) -> Any:
    """A session for the server's only table."""
    return google.create_read_session(
        parent="projects/p",
        read_session={"table": "projects/p/datasets/d/tables/t", "data_format": "ARROW"},
        max_stream_count=STREAMS,
    )


def loop(address: str, format_: str, _table: str, folder: Path) -> Callable[[], int]:
    """The simple loop: write each batch as it arrives."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    google = client(address)

    def read() -> int:
        session, rows = opened(google), 0
        schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
        for number, stream in enumerate(session.streams):
            path = folder / f"{number}.{format_}"
            with gzip.open(path, "wb", 6) if format_ == "csv.gz" else path.open("wb") as file:
                if format_ == "parquet":
                    writer = pq.ParquetWriter(file, schema, compression="zstd")
                else:
                    writer = pyarrow.csv.CSVWriter(file, schema)
                with writer:
                    for answer in google.read_rows(stream.name):
                        batch = pa.ipc.read_record_batch(
                            pa.py_buffer(answer.arrow_record_batch.serialized_record_batch), schema
                        )
                        writer.write_batch(batch)
                        rows += batch.num_rows
        return rows

    return read


def pandas(address: str, format_: str, _table: str, folder: Path) -> Callable[[], int]:
    """Load everything into a frame, then write a file."""
    import pandas as pd

    google = client(address)

    def read() -> int:
        session = opened(google)
        frames = [google.read_rows(stream.name).to_dataframe(session) for stream in session.streams]
        frame = pd.concat(frames)
        if format_ == "parquet":
            frame.to_parquet(folder / "all.parquet", compression="zstd")
        else:
            frame.to_csv(folder / f"all.{format_}", index=False)
        return len(frame)

    return read


def bqdump(address: str, format_: str, table: str, folder: Path) -> Callable[[], int]:
    """Export one unit with the read route, as a task does."""
    os.environ["BIGQUERY_STORAGE_GRPC_ENDPOINT"] = address
    import msgspec

    from bqdump.adapters.folder.store import FolderStore
    from bqdump.adapters.lean_imports import import_lean
    from bqdump.adapters.memory import MemoryStore
    from bqdump.core.dealing import Sharing
    from bqdump.core.documents.run import Failure, Owner, Plan
    from bqdump.core.documents.units import Unit
    from bqdump.core.settings.resolve import flags, resolve
    from bqdump.export.placement.choose import running_export
    from bqdump.export.task import Task
    from bqdump.export.watch import Watch
    from bqdump.export.work.read import read_unit
    from bqdump.services.opening import LazyReadRoute
    from bqdump_memory import MemoryWarehouse

    import_lean()
    name, codec = FORMATS[format_]
    place = {"project": "proj", "dataset": "d", "to": str(folder)}
    given = {**place, "format": name, "compression": codec, "read_memory": str(READ_MEMORY)}
    settings = resolve(flags(given))
    unit = Unit("00000-00000", "t", "TABLE", "read", ROWS, 1 << 40, "t/t_*", definition(table))
    plan = msgspec.convert(
        {
            "run": "r",
            "tool": "",
            "nonce": "0",
            "project": "proj",
            "dataset": "d",
            "location": "US",
            "snapshot": 1,
            "mode": "replace",
            "settings": {},
            "digest": "",
            "units": "",
            "shares": [],
            "tables": 1,
            "rows": 0,
            "bytes": 0,
            "skipped": [],
            "excluded": 0,
        },
        Plan,
    )
    readings = LazyReadRoute(settings)
    readings.open()
    importlib.import_module(ENCODERS[name])
    warehouse = MemoryWarehouse(MemoryStore(), lambda: 0)
    warehouse.put("proj", "d", "t", ())

    async def one() -> int:
        task = Task(FolderStore(folder), warehouse, settings, "r", Owner("r", 0), 1, open_read_route=readings.open)
        watch = Watch(warehouse, "US", Sharing(1, 1))
        outcome = await read_unit(running_export(task, plan), watch, unit, 0, lambda: None)
        assert not isinstance(outcome, Failure), outcome.message
        return outcome.rows or 0

    return lambda: asyncio.run(one())


def encoder(address: str, format_: str, table: str, folder: Path) -> Callable[[], int]:
    """The encoder in the same number of threads, on batches in memory."""
    from concurrent.futures import ThreadPoolExecutor

    from bqdump.adapters.read.encoder import ArrowEncoder
    from bqdump.core.formats.types import columns
    from bqdump.ports.reader import Batch, FileShape

    google = client(address)
    session = opened(google)
    answers = [google.read_rows(stream.name) for stream in session.streams]
    streams = [
        [Batch(answer.arrow_record_batch.serialized_record_batch, answer.row_count) for answer in stream]
        for stream in answers
    ]
    shape = FileShape(*FORMATS[format_], columns(definition(table)))
    made = ArrowEncoder(READ_MEMORY // STREAMS)
    importlib.import_module(ENCODERS[shape.format])

    def one(number: int) -> int:
        with (folder / f"{number}").open("wb") as file:
            return made.encode(session.arrow_schema.serialized_schema, iter(streams[number]), shape, file)

    def encode() -> int:
        with ThreadPoolExecutor(STREAMS) as pool:
            return sum(pool.map(one, range(STREAMS)))

    return encode


def receive(address: str, _format: str, _table: str, _folder: Path) -> Callable[[], int]:
    """The reader in the same number of threads, which count the rows."""
    os.environ["BIGQUERY_STORAGE_GRPC_ENDPOINT"] = address
    from concurrent.futures import ThreadPoolExecutor

    from bqdump.adapters.read.reader import StorageReader

    reader = StorageReader("proj")

    def one(number: int) -> int:
        return sum(batch.rows for batch in reader.read(f"{SESSION}/streams/{number}", 0))

    def read() -> int:
        with ThreadPoolExecutor(STREAMS) as pool:
            return sum(pool.map(one, range(STREAMS)))

    return read


CONTENDERS = {"loop": loop, "pandas": pandas, "bqdump": bqdump, "encoder": encoder, "receive": receive}


def contend(name: str, address: str, format_: str, table: str) -> None:
    """Run one contender. Prints wall time, CPU time of this process, rows, and peak memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        work = CONTENDERS[name](address, format_, table, Path(folder))
        started, before = time.perf_counter(), cpu()
        rows = work()
        wall, used = time.perf_counter() - started, cpu() - before
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    sys.stdout.write(json.dumps({"wall": wall, "cpu": used, "rows": rows, "size": size, "peak": peak}) + "\n")


def cpu() -> float:
    """The CPU seconds of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    contend(*sys.argv[1:5])
