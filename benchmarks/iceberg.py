"""Iceberg metadata for 1,000 tables of 10 files, and for one table of 10,000 files: time, and bytes written.

The baseline is PyIceberg's `add_files`, with a catalog in memory and without its search for duplicates. Both start with
paths, read the footer of each file from a local disk, and write manifest, manifest list and metadata file to it.
PyIceberg writes one more metadata file, when the table is created. It is measured at two smaller sizes and extrapolated
along a straight line.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from benchmarks.size import sized

from bqdump.core.formats.parquet_footer import TRAILER_BYTES, footer_bytes
from bqdump.core.iceberg.footer import second_footer
from bqdump.core.iceberg.manifests import DataFile
from bqdump.core.iceberg.metadata import no_history
from bqdump.core.iceberg.parquet import file_facts
from bqdump.core.iceberg.table import Request, describe, hint_of, metadata_object

# Readers of Iceberg tables are installed in a folder of their own.
PACKAGES = Path(sys.prefix) / "readers"
COLUMNS, DIFFERENT, TAIL_BYTES = 10, 200, 64 << 10
# Tables, and files of each: as measured with bqdump, and the two sizes that PyIceberg is measured at.
CASES = sized(
    {
        "1,000 tables × 10 files": ((1000, 10), (10, 10), (40, 10)),
        "1 table × 10,000 files": ((1, 10_000), (1, 100), (1, 500)),
    },
    {"20 tables × 2 files": ((20, 2), (2, 2), (4, 2))},
)


class Cost(NamedTuple):
    """CPU seconds, and bytes of metadata."""

    seconds: float
    bytes: int


def plain_file(seed: int) -> bytes:
    """A small file of ten columns as BigQuery writes it, without field ids: add_files refuses others."""
    value = random.Random(seed).random
    table = pa.table({f"column_{number}": [f"{value():.12f}" for _ in range(20)] for number in range(COLUMNS)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, store_schema=False)
    return bytes(sink.getvalue().to_pybytes())


def published_file(seed: int) -> bytes:
    """The same as a run publishes it, with field ids."""
    data = plain_file(seed)
    return data + second_footer(footer_of(data), frozenset(), "file")


def footer_of(tail: bytes) -> bytes:
    """The footer at the end of a file."""
    length = footer_bytes(tail[-TRAILER_BYTES:], len(tail), "file")
    return tail[-TRAILER_BYTES - length : -TRAILER_BYTES]


def put_files(root: Path, count: int, make: Callable[[int], bytes]) -> list[Path]:
    """Files in a folder. They repeat after DIFFERENT ones, which is too far apart for compression to profit from it."""
    shutil.rmtree(root, ignore_errors=True)
    (root / "data").mkdir(parents=True)
    paths = [root / "data" / f"{number:012d}.parquet" for number in range(count)]
    contents = [make(seed) for seed in range(min(count, DIFFERENT))]
    for number, path in enumerate(paths):
        path.write_bytes(contents[number % DIFFERENT])
    return paths


def with_bqdump(root: Path, tables: int, files: int) -> Cost:
    """The cost of this many tables over the same files."""
    paths = put_files(root, files, published_file)
    written, before = 0, time.process_time()
    for number in range(tables):
        described = [_described(path) for path in paths]
        folder, place = f"iceberg/t{number}/", f"{root}/"
        history = no_history(place + folder)
        made = describe(Request(place, folder, "run", 1_800_000_000_000, described, (), {}, history))
        metadata = metadata_object(place, folder, "run", made.history)
        for name, data in (*made.objects, metadata, hint_of(metadata[0])):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            written += path.write_bytes(data)
    return Cost(time.process_time() - before, written)


def _described(path: Path) -> DataFile:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - TAIL_BYTES))
        return DataFile(str(path), size, file_facts(footer_of(file.read()), str(path)))


class Catalog:
    """What PyIceberg needs of a catalog to create a table and to add files to it, in memory."""

    def __init__(self) -> None:
        self._tables: dict[str, Any] = {}

    def staged(self, catalog: Any, name: str, schema: pa.Schema, location: str) -> Any:
        """A new table, which is stored."""
        staged = catalog._create_staged_table(("d", name), schema, location)
        return self._stored(catalog, name, staged)

    def commit_table(self, catalog: Any, table: Any, requirements: Any, updates: Any) -> Any:
        """The change, which is stored: see PyIceberg's Catalog."""
        name = table.name()[-1]
        response = import_module("pyiceberg.table").CommitTableResponse
        staged = catalog._update_and_stage_table(self._tables[name], ("d", name), requirements, updates)
        self._stored(catalog, name, staged)
        return response(metadata=staged.metadata, metadata_location=staged.metadata_location)

    def _stored(self, catalog: Any, name: str, staged: Any) -> Any:
        catalog._write_metadata(staged.metadata, staged.io, staged.metadata_location)
        made = import_module("pyiceberg.table").Table
        table = made(("d", name), staged.metadata, staged.metadata_location, staged.io, catalog)
        self._tables[name] = table
        return table


def with_pyiceberg(root: Path, tables: int, files: int) -> Cost:
    """The cost of this many tables over the same files."""
    noop, catalogs = import_module("pyiceberg.catalog.noop"), import_module("pyiceberg.catalog")
    kept = Catalog()
    members = {"commit_table": lambda self, *change: kept.commit_table(self, *change)}
    catalog = type("InMemory", (noop.NoopCatalog, catalogs.MetastoreCatalog), members)("memory")
    paths = [str(path) for path in put_files(root, files, plain_file)]
    schema = pq.read_schema(paths[0])
    before = time.process_time()
    for number in range(tables):
        kept.staged(catalog, f"t{number}", schema, f"{root}/t{number}").add_files(paths, check_duplicate_files=False)
    return Cost(time.process_time() - before, sum(path.stat().st_size for path in root.glob("t*/metadata/*")))


def extrapolated(small: tuple[int, Cost], large: tuple[int, Cost], count: int) -> Cost:
    """The cost of `count` files along the line through two measured costs."""
    (few, low), (many, high) = small, large
    rate = (count - few) / (many - few)
    return Cost(low.seconds + (high.seconds - low.seconds) * rate, round(low.bytes + (high.bytes - low.bytes) * rate))


def main() -> None:
    """Print a line for each case."""
    sys.path.append(str(PACKAGES))
    print(f"{'CPU seconds, KB of metadata':28}{'bqdump':>18}{'PyIceberg':>20}{'ratios':>14}  (PyIceberg: extrapolated)")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with_pyiceberg(root / "first", 1, 1)
        for name, (case, *measured) in CASES.items():
            ours = with_bqdump(root / "ours", *case)
            small, large = ((t * f, with_pyiceberg(root / "theirs", t, f)) for t, f in measured)
            theirs = extrapolated(small, large, case[0] * case[1])
            print(
                f"{name:28}{ours.seconds:9.2f} {ours.bytes / 1000:8,.0f}"
                f"{theirs.seconds:11.2f} {theirs.bytes / 1000:8,.0f}"
                f"{ours.seconds / theirs.seconds:8.3f} {ours.bytes / theirs.bytes:5.2f}"
            )


if __name__ == "__main__":
    main()
