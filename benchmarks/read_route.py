"""The read route against what people do by hand, and against what the encoder alone can do.

One local gRPC server, a process of its own, serves prebuilt Arrow batches as fast as it can. In turn, round after
round, each contender reads all of it into one file a stream, on a file system in memory:

  loop      google-cloud-bigquery-storage, each batch into pyarrow's writer
  pandas    the same client's to_dataframe(), then to_parquet() or to_csv(), in an environment that this script makes
  bqdump    flow.read on the real adapters, to a local folder
  encoder   bqdump's encoder on the same batches, already in memory: the limit
  receive   bqdump's reader without an encoder: encoder and receive together, on all cores, are the floor

Client CPU counts as well as wall time, since the server shares the machine. Printed are ratios of the best rounds.
Nobody's imports are measured. Three tables: orders, made up to be wide in text, TPC-H's lineitem, and readings, mostly
numbers.

    python -m benchmarks.read_route [--rounds 5] [--without-pandas]
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import importlib
import json
import math
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.size import sized

ROWS, STREAMS = sized(1_500_000, 2_000), 2
# Tables and rows in an answer. The service has been seen to send 1,024 rows in each, of whatever size
# (https://github.com/GoogleCloudDataproc/hadoop-connectors/issues/245); eight times as many are easier for everybody.
SERVED = sized(
    (("orders", 1_000), ("lineitem", 1_000), ("readings", 1_000), ("orders", 8_000), ("lineitem", 8_000)),
    (("lineitem", 500), ("readings", 500)),
)
WORDS = """the quick final furiously regular deposits sleep above pending packages across bold accounts wake carefully
ironic requests haggle slyly express foxes nag even theodolites along silent instructions among blithely special pinto
beans cajole daring asymptotes boost dependencies doze ideas detect quietly unusual platelets integrate courts"""
FORMATS = {"parquet": ("parquet", "zstd"), "csv": ("csv", "none"), "csv.gz": ("csv", "gzip")}
# What is imported with the first file of a format.
ENCODERS = {"parquet": "bqdump.adapters.parquet_files", "csv": "bqdump.adapters.text_files"}
SERVICE = "google.cloud.bigquery.storage.v1.BigQueryRead"
SESSION = "projects/p/locations/us/sessions/s"
READ_MEMORY = 128 * 10**6
# A process of this size reads a table ten times as large. Allocators keep address space that they do not use, which
# RLIMIT_DATA counts; with these settings they give it back.
MEMORY_LIMIT, TIMES_LARGER = 512 << 20, sized(10.0, 0.001)
ALLOCATORS = {"MALLOC_ARENA_MAX": "2", "_RJEM_MALLOC_CONF": "retain:false,dirty_decay_ms:0,muzzy_decay_ms:0"}


# The server.


def some_words(count: int) -> str:
    """SQL for a text of so many of the words `w`, another for each `i`."""
    return " || ' ' || ".join(f"w[1 + (hash(i * 31 + {n}) % len(w))::INT]" for n in range(count))


# Ten columns of mixed types, about 125 bytes a row: what orders might look like.
ORDERS = f"""i::BIGINT AS id, (i * 7919) % 100000 AS ref, round(random() * 1000, 2) AS price,
    (random() * 1e6)::DECIMAL(18, 2)::DECIMAL(38, 9) AS amount, DATE '2020-01-01' + (i % 1000)::INT AS d,
    TIMESTAMPTZ '2020-01-01' + to_microseconds(i * 1000003) AS ts, i % 3 = 0 AS ok,
    ['EU', 'US', 'ASIA', 'AFRICA'][1 + i % 4] AS region, 'customer-' || ((i * 31) % 50000) AS name,
    {some_words(6)} AS note"""
# Sixteen columns with the ranges that the specification of TPC-H gives (4.2.3), decimals as NUMERIC.
LINEITEM = f"""(i // 4 * 8)::BIGINT AS l_orderkey, (hash(i) % 200000 + 1)::BIGINT AS l_partkey,
    (hash(i + 1) % 10000 + 1)::BIGINT AS l_suppkey, i % 4 + 1 AS l_linenumber,
    (hash(i + 2) % 50 + 1)::DECIMAL(38, 9) AS l_quantity,
    ((hash(i + 2) % 50 + 1) * (90000 + hash(i) % 120001) / 100)::DECIMAL(15, 2)::DECIMAL(38, 9) AS l_extendedprice,
    ((hash(i + 3) % 11) / 100)::DECIMAL(15, 2)::DECIMAL(38, 9) AS l_discount,
    ((hash(i + 4) % 9) / 100)::DECIMAL(15, 2)::DECIMAL(38, 9) AS l_tax,
    ['R', 'A', 'N'][1 + (hash(i + 5) % 3)::INT] AS l_returnflag, ['O', 'F'][1 + (hash(i + 6) % 2)::INT] AS l_linestatus,
    DATE '1992-01-02' + (hash(i + 7) % 2526)::INT AS l_shipdate,
    DATE '1992-01-31' + (hash(i + 8) % 2466)::INT AS l_commitdate,
    DATE '1992-01-03' + (hash(i + 7) % 2526 + hash(i + 9) % 30)::INT AS l_receiptdate,
    ['DELIVER IN PERSON', 'COLLECT COD', 'NONE', 'TAKE BACK RETURN'][1 + (hash(i + 10) % 4)::INT] AS l_shipinstruct,
    ['REG AIR', 'AIR', 'RAIL', 'SHIP', 'TRUCK', 'MAIL', 'FOB'][1 + (hash(i + 11) % 7)::INT] AS l_shipmode,
    {some_words(4)} AS l_comment"""
# Twelve columns of measurements: mostly numbers, few of which repeat.
READINGS = """i::BIGINT AS id, (hash(i) % 5000)::BIGINT AS sensor,
    TIMESTAMPTZ '2024-01-01' + to_microseconds(i * 250007) AS ts, (hash(i + 1) % 100000)::BIGINT AS sequence,
    random() * 60 - 20 AS temperature, 950 + random() * 100 AS pressure, random() AS humidity, 3 + random() AS voltage,
    random() * 180 - 90 AS latitude, random() * 360 - 180 AS longitude, hash(i + 2) % 50 > 0 AS ok,
    ['idle', 'running', 'stopped'][1 + (hash(i + 3) % 3)::INT] AS state"""
TABLES = {"orders": ORDERS, "lineitem": LINEITEM, "readings": READINGS}
COLUMNS = {
    "orders": {
        "id": "INTEGER", "ref": "INTEGER", "price": "FLOAT", "amount": "NUMERIC", "d": "DATE", "ts": "TIMESTAMP",
        "ok": "BOOLEAN", **dict.fromkeys(("region", "name", "note"), "STRING"),
    },
    "lineitem": {
        **dict.fromkeys(("l_orderkey", "l_partkey", "l_suppkey", "l_linenumber"), "INTEGER"),
        **dict.fromkeys(("l_quantity", "l_extendedprice", "l_discount", "l_tax"), "NUMERIC"),
        **dict.fromkeys(("l_returnflag", "l_linestatus"), "STRING"),
        **dict.fromkeys(("l_shipdate", "l_commitdate", "l_receiptdate"), "DATE"),
        **dict.fromkeys(("l_shipinstruct", "l_shipmode", "l_comment"), "STRING"),
    },
    "readings": {
        "id": "INTEGER", "sensor": "INTEGER", "ts": "TIMESTAMP", "sequence": "INTEGER",
        **dict.fromkeys(("temperature", "pressure", "humidity", "voltage", "latitude", "longitude"), "FLOAT"),
        "ok": "BOOLEAN", "state": "STRING",
    },
}  # fmt: skip


def table(name: str, rows: int) -> Any:
    """One of the tables."""
    import duckdb

    con = duckdb.connect()
    con.execute("SET TimeZone = 'UTC'")
    words = ", ".join(f"'{word}'" for word in WORDS.split())
    made = con.sql(f"WITH words AS (SELECT [{words}] AS w) SELECT {TABLES[name]} FROM range({rows}) t(i), words")
    return made.to_arrow_table()


def serve(name: str, rows: int, repeat: int, batch_rows: int) -> None:
    """Serve until standard input ends; prints the port, and how many bytes of Arrow there are."""
    from concurrent.futures import ThreadPoolExecutor

    import grpc
    from google.cloud.bigquery_storage_v1 import types

    made = table(name, rows)
    schema = made.schema.serialize().to_pybytes()
    answers, size = [], 0
    for number, batch in enumerate(made.combine_chunks().to_batches(max_chunksize=batch_rows)):
        message = batch.serialize().to_pybytes()
        size += len(message)
        answer = types.ReadRowsResponse(
            arrow_record_batch={"serialized_record_batch": message, "row_count": batch.num_rows},
            row_count=batch.num_rows,
            arrow_schema={"serialized_schema": schema} if number < STREAMS else None,
        )
        answers.append(types.ReadRowsResponse.serialize(answer))
    del made

    def create(_request: Any, _: Any) -> Any:
        streams = [{"name": f"{SESSION}/streams/{n}"} for n in range(STREAMS)]
        return types.ReadSession(
            name=SESSION, data_format="ARROW", arrow_schema={"serialized_schema": schema}, streams=streams
        )

    def read(request: Any, _: Any) -> Iterator[bytes]:
        mine = answers[int(request.read_stream.rpartition("/")[2]) :: STREAMS]
        for _ in range(repeat):
            yield from mine

    handlers = {
        "CreateReadSession": grpc.unary_unary_rpc_method_handler(
            create, types.CreateReadSessionRequest.deserialize, types.ReadSession.serialize
        ),
        "ReadRows": grpc.unary_stream_rpc_method_handler(read, types.ReadRowsRequest.deserialize, None),
    }
    server = grpc.server(ThreadPoolExecutor(8), options=[("grpc.max_send_message_length", -1)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port} {size * repeat} {rows * repeat}\n")
    sys.stdout.flush()
    sys.stdin.read()


@contextmanager
def serving(name: str, rows: int, repeat: int = 1, batch_rows: int = SERVED[0][1]) -> Iterator[tuple[str, int, int]]:
    """A server in a process of its own: its address, bytes of Arrow, and rows."""
    command = [sys.executable, "-m", "benchmarks.read_route", "serve", name, *map(str, (rows, repeat, batch_rows))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdin
        assert process.stdout
        port, size, count = map(int, process.stdout.readline().split())
        yield f"127.0.0.1:{port}", size, count
    finally:
        process.communicate()


# The contenders, each in a process of its own. Each returns a function to be measured, which returns rows.


def client(address: str) -> Any:
    """Google's client."""
    import grpc
    from google.cloud.bigquery_storage_v1 import BigQueryReadClient
    from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

    channel = grpc.insecure_channel(address, options=[("grpc.max_receive_message_length", -1)])
    return BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))


def opened(google: Any) -> Any:
    """A session on the one table that there is."""
    return google.create_read_session(
        parent="projects/p", read_session={"table": "projects/p/datasets/d/tables/t", "data_format": "ARROW"},
        max_stream_count=STREAMS,
    )  # fmt: skip


def loop(address: str, format_: str, _table: str, folder: Path) -> Callable[[], int]:
    """The bare loop: a batch arrives, a batch is written."""
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
                writer = (
                    pq.ParquetWriter(file, schema, compression="zstd") if format_ == "parquet"
                    else pyarrow.csv.CSVWriter(file, schema)
                )  # fmt: skip
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
    """A frame with everything, then a file."""
    import pandas as pd  # type: ignore[import-untyped]

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
    """One unit by the read route, as a task does it."""
    os.environ["BIGQUERY_STORAGE_GRPC_ENDPOINT"] = address
    import msgspec

    from bqdump.adapters.folder import FolderStore
    from bqdump.adapters.lean_imports import import_lean
    from bqdump.adapters.memory import MemoryStore, MemoryWarehouse
    from bqdump.core.documents.run import Failure, Owner, Plan, Unit
    from bqdump.core.settings.settings import resolve
    from bqdump.export.placement.choose import running_export
    from bqdump.export.task import Task
    from bqdump.export.work.read import read_unit
    from bqdump.export.work.watch import Watch
    from bqdump.services import Readings

    import_lean()
    name, codec = FORMATS[format_]
    flags = {"project": "proj", "dataset": "d", "to": str(folder), "format": name, "compression": codec,
             "read_memory": str(READ_MEMORY)}  # fmt: skip
    settings = resolve(flags, {}, {}, "none")
    unit = Unit("00000-00000", "t", "TABLE", "read", ROWS, 1 << 40, "t/t_*", definition(table))
    plan = msgspec.convert(
        {"run": "r", "tool": "", "nonce": "0", "project": "proj", "dataset": "d", "location": "US", "snapshot": 1,
         "mode": "replace", "settings": {}, "digest": "", "units": "", "shares": [], "tables": 1, "rows": 0, "bytes": 0,
         "skipped": [], "excluded": 0}, Plan,
    )  # fmt: skip
    readings = Readings(settings)
    readings.open()
    importlib.import_module(ENCODERS[name])
    warehouse = MemoryWarehouse(MemoryStore(), lambda: 0)
    warehouse.put("proj", "d", "t", ())

    async def one() -> int:
        task = Task(FolderStore(folder), warehouse, settings, "r", Owner("r", 0), 1, open_reading=readings.open)
        outcome = await read_unit(running_export(task, plan), Watch(warehouse, "US", 1), unit, 0, lambda: None)
        assert not isinstance(outcome, Failure), outcome.message
        return outcome.rows or 0

    return lambda: asyncio.run(one())


def definition(table: str) -> Any:
    """What tables.get would say of the columns."""
    import msgspec

    fields = [{"name": name, "type": kind} for name, kind in COLUMNS[table].items()]
    return msgspec.Raw(msgspec.json.encode({"schema": {"fields": fields}}))


def encoder(address: str, format_: str, table: str, folder: Path) -> Callable[[], int]:
    """The encoder in as many threads, on batches that are there already."""
    from concurrent.futures import ThreadPoolExecutor

    from bqdump.adapters.encoder import ArrowEncoder
    from bqdump.core.formats.types import columns
    from bqdump.ports.encoder import FileShape
    from bqdump.ports.reader import Batch

    google = client(address)
    session = opened(google)
    streams = [
        [Batch(answer.arrow_record_batch.serialized_record_batch, answer.row_count)
         for answer in google.read_rows(stream.name)]
        for stream in session.streams
    ]  # fmt: skip
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
    """The reader in as many threads; what arrives is counted."""
    os.environ["BIGQUERY_STORAGE_GRPC_ENDPOINT"] = address
    from concurrent.futures import ThreadPoolExecutor

    from bqdump.adapters.storage_read import StorageReader

    reader = StorageReader("proj")

    def one(number: int) -> int:
        return sum(batch.rows for batch in reader.read(f"{SESSION}/streams/{number}", 0))

    def read() -> int:
        with ThreadPoolExecutor(STREAMS) as pool:
            return sum(pool.map(one, range(STREAMS)))

    return read


CONTENDERS = {"loop": loop, "pandas": pandas, "bqdump": bqdump, "encoder": encoder, "receive": receive}


def contend(name: str, address: str, format_: str, table: str) -> None:
    """Be one contender; prints seconds of wall time and of this process's CPU, rows, and peak memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        work = CONTENDERS[name](address, format_, table, Path(folder))
        started, before = time.perf_counter(), cpu()
        rows = work()
        wall, used = time.perf_counter() - started, cpu() - before
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    sys.stdout.write(json.dumps({"wall": wall, "cpu": used, "rows": rows, "size": size, "peak": peak}) + "\n")


def cpu() -> float:
    """Seconds of CPU that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# The comparison.


def measured(
    name: str, address: str, format_: str, table: str, python: str = sys.executable, limit: int = 0
) -> dict[str, Any]:
    """What a contender tells of itself. limit: bytes that its data and heap may take."""

    def limited() -> None:
        if limit:
            resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
            # It counts the stacks of threads too: a megabyte for each.
            resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))

    done = subprocess.run(
        [python, "-W", "ignore", "-m", "benchmarks.read_route", "contend", name, address, format_, table],
        capture_output=True, text=True, check=False, preexec_fn=limited if limit else None,
        env={**os.environ, "PYTHONPATH": f"{Path.cwd()}", **(ALLOCATORS if limit else {})},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{name} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def pandas_environment(folder: Path) -> str:
    """The Python of an environment as pandas' users have it."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    packages = ["google-cloud-bigquery-storage[pandas]", "pyarrow", "fastavro"]
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "-q", *packages], check=True)
    return str(folder / "bin/python")


def compare(rounds: int, python: str, table: str, batch_rows: int) -> None:
    """Rounds of all contenders in all formats, then ratios of the best."""
    names = [name for name in CONTENDERS if name != "pandas" or python]
    with serving(table, ROWS, 1, batch_rows) as (address, size, rows):
        print(f"{table}: {rows:,} rows in batches of {batch_rows:,}, {size / 1e6:.0f} MB of Arrow, "
              f"{STREAMS} streams, {os.cpu_count()} cores\n")  # fmt: skip
        for format_ in FORMATS:
            best: dict[str, dict[str, Any]] = {}
            for round_ in range(rounds):
                # pandas holds everything and takes long: once is enough.
                for name in names if round_ == 0 else [name for name in names if name != "pandas"]:
                    found = measured(name, address, format_, table, python if name == "pandas" else sys.executable)
                    assert found["rows"] == rows, (name, found)
                    known = best.setdefault(name, found)
                    best[name] = {**found, **{key: min(known[key], found[key]) for key in ("wall", "cpu")}}
            print(f"{format_:8} {'wall s':>8} {'MB/s':>7} {'cpu s':>7} {'file MB':>8} {'peak MB':>8}")
            for name, found in best.items():
                print(f"{name:8} {found['wall']:8.2f} {size / 1e6 / found['wall']:7.0f} {found['cpu']:7.2f} "
                      f"{found['size'] / 1e6:8.1f} {found['peak'] / 1e6:8.0f}")  # fmt: skip
            ours, cores = best["bqdump"], os.cpu_count() or 1
            floor = sum(best[name]["cpu"] for name in ("encoder", "receive")) / min(cores, STREAMS)
            print(f"bqdump: {best['loop']['wall'] / ours['wall']:.2f} x the loop in wall time, "
                  f"{ours['cpu'] / best['encoder']['cpu']:.2f} x the encoder's CPU, "
                  f"{ours['cpu'] / best['loop']['cpu']:.2f} x the loop's CPU; the floor, with no server on "
                  f"these cores, is {best['loop']['wall'] / floor:.2f} x\n")  # fmt: skip


def bounded() -> None:
    """A table ten times larger than the memory limit, in a small process."""
    with serving("orders", ROWS) as (_, once, _):
        repeat = math.ceil(TIMES_LARGER * MEMORY_LIMIT / once)
    with serving("orders", ROWS, repeat) as (address, size, rows):
        for format_ in ("parquet", "csv.gz"):
            found = measured("bqdump", address, format_, "orders", limit=MEMORY_LIMIT)
            assert found["rows"] == rows, found
            print(f"{format_:8} {size / 1e9:.2f} GB of Arrow within RLIMIT_DATA {MEMORY_LIMIT >> 20} MiB and "
                  f"--read-memory {READ_MEMORY // 10**6} MB: peak resident {found['peak'] / 1e6:.0f} MB, "
                  f"{size / 1e6 / found['wall']:.0f} MB/s")  # fmt: skip


def main() -> None:
    """Compare, or be one of the processes."""
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2], *map(int, sys.argv[3:6]))
    elif sys.argv[1:2] == ["contend"]:
        contend(*sys.argv[2:6])
    else:
        parser = argparse.ArgumentParser(prog="benchmarks.read_route")
        parser.add_argument("--rounds", type=int, default=5)
        parser.add_argument("--without-pandas", action="store_true")
        arguments = parser.parse_args()
        folder = Path(tempfile.mkdtemp())
        try:
            python = "" if arguments.without_pandas else pandas_environment(folder / "pandas")
            for name, batch_rows in SERVED:
                compare(arguments.rounds, python, name, batch_rows)
            bounded()
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
