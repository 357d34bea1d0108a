"""Parquet files with all types, and Iceberg tables over them in a folder."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from bqdump.core.formats.parquet_footer import TRAILER_BYTES, footer_bytes
from bqdump.core.iceberg.footer import second_footer
from bqdump.core.iceberg.manifests import DataFile
from bqdump.core.iceberg.metadata import History, no_history, read_history
from bqdump.core.iceberg.parquet import file_facts
from bqdump.core.iceberg.table import Request, describe, hint_of, metadata_object, with_same_rows

FIRST = datetime.fromisoformat("0001-01-01T00:00:00")
SUMMER = datetime.fromisoformat("2026-07-01T12:00:00.000001")
LAST = datetime.fromisoformat("9999-12-31T23:59:59.999999")
DAY = 86_400_000
# Columns that hold TIMESTAMPs, written as BigQuery writes them: without the flag.
INSTANTS = frozenset(("ts", "deep.inner.ts", "lines.element.when.element"))

DEEP = pa.struct([("a", pa.int64()), ("inner", pa.struct([("c", pa.list_(pa.int64())), ("ts", pa.timestamp("us"))]))])
LINES = pa.list_(pa.struct([("q", pa.int64()), ("when", pa.list_(pa.timestamp("us")))]))
TYPES: dict[str, pa.DataType] = {
    "id": pa.int64(),
    "ratio": pa.float64(),
    "flag": pa.bool_(),
    "text": pa.string(),
    "raw": pa.binary(),
    "money": pa.decimal128(38, 9),
    "day": pa.date32(),
    "clock": pa.time64("us"),
    "local": pa.timestamp("us"),
    "ts": pa.timestamp("us"),
    "deep": DEEP,
    "the tags": pa.list_(pa.string()),
    "lines": LINES,
    "last_one": pa.string(),
}
ROWS: list[dict[str, Any]] = [
    {
        "id": 2**63 - 1,
        "ratio": float("inf"),
        "flag": True,
        "text": "ä" * 40,
        "raw": b"\x00\xff",
        "money": Decimal("12345678901234567890123456789.123456789"),
        "day": date(1, 1, 1),
        "clock": time(23, 59, 59, 999999),
        "local": FIRST,
        "ts": FIRST,
        "deep": {"a": 1, "inner": {"c": [1, 2], "ts": SUMMER}},
        "the tags": ["x", ""],
        "lines": [{"q": 1, "when": [SUMMER, LAST]}, {"q": None, "when": []}],
        "last_one": "end",
    },
    {
        "id": -(2**63),
        "ratio": -0.0,
        "flag": False,
        "text": "",
        "raw": b"",
        "money": Decimal("-12345678901234567890123456789.123456789"),
        "day": date(9999, 12, 31),
        "clock": time(0),
        "local": LAST,
        "ts": LAST,
        "deep": {"a": None, "inner": None},
        "the tags": [],
        "lines": [],
        "last_one": "z",
    },
    {name: [] if name in ("the tags", "lines") else None for name in TYPES}
    | {"id": 7, "ts": SUMMER, "last_one": "seven"},
]


def utc(row: dict[str, Any]) -> dict[str, Any]:
    """The row as readers return it where TIMESTAMPs are instants."""
    made = dict(row)
    made["ts"] = made["ts"] and made["ts"].replace(tzinfo=UTC)
    if made.get("deep") and made["deep"]["inner"]:
        inner = made["deep"]["inner"]
        made["deep"] = made["deep"] | {"inner": inner | {"ts": inner["ts"].replace(tzinfo=UTC)}}
    made["lines"] = [
        line | {"when": [one.replace(tzinfo=UTC) for one in line["when"]]} for line in made.get("lines") or []
    ]
    return made


def parquet(rows: list[dict[str, Any]], types: dict[str, pa.DataType], *, ids: bool) -> bytes:
    """A file as BigQuery writes it; with a second footer if `ids`."""
    file = io.BytesIO()
    table = pa.Table.from_pylist(rows, pa.schema(list(types.items())))
    pq.write_table(table, file, store_schema=False, row_group_size=2)
    data = file.getvalue()
    return data + second_footer(footer_of(data), INSTANTS, "file") if ids else data


def footer_of(data: bytes) -> bytes:
    length = footer_bytes(data[-TRAILER_BYTES:], len(data), "file")
    return data[-TRAILER_BYTES - length : -TRAILER_BYTES]


class Written(NamedTuple):
    """What a run has written: names and content. The last one is the metadata file."""

    objects: tuple[tuple[str, bytes], ...]

    @property
    def metadata(self) -> str:
        """The name of the metadata file."""
        return self.objects[-1][0]


class Lake:
    """A table in a folder, with a file of its own for each row. ids: whether its files have field ids."""

    def __init__(self, root: Path, *, ids: bool) -> None:
        self.root, self.ids = f"{root}/", ids
        self.history: History = no_history(self.root)
        self.place = root / "iceberg" / "t"
        self.written: list[Written] = []

    def publish(self, run: str, rows: list[dict[str, Any]], types: dict[str, pa.DataType] = TYPES) -> Written:
        """One run, with a day between it and the one before."""
        files = []
        for number, row in enumerate(rows):
            data, name = parquet([row], types, ids=self.ids), f"{run}/t_{number:012d}.parquet"
            self._put(name, data)
            files.append(DataFile(self.root + name, len(data), file_facts(footer_of(data), name)))
        moment = 1_785_000_000_000 + len(self.written) * DAY
        described = describe(Request(self.root, "iceberg/t/", run, moment, files, (), {}, self.history))
        return self._write(run, described.history, described.objects)

    def publish_again(self, run: str, of: str) -> Written:
        """One run, with a day between it and the one before, in which the table has the files of an earlier run."""
        moment = 1_785_000_000_000 + len(self.written) * DAY
        snapshot = self.history.snapshots[self.history.runs().index(of)]
        history = with_same_rows(self.history, self.history, snapshot, run, moment, f"{self.root}iceberg/t/")
        return self._write(run, history, ())

    def _write(self, run: str, history: History, objects: tuple[tuple[str, bytes], ...]) -> Written:
        written = Written((*objects, metadata_object(self.root, "iceberg/t/", run, history)))
        for name, data in (*written.objects, hint_of(written.metadata)):
            self._put(name, data)
        self.history = read_history(written.objects[-1][1], written.metadata)
        self.written.append(written)
        return written

    def snapshot(self, run: str) -> int:
        """The id of a run's snapshot."""
        found = dict(zip(self.history.runs(), self.history.snapshots, strict=True))
        return int(found[run]["snapshot-id"])

    def _put(self, name: str, data: bytes) -> None:
        path = Path(self.root + name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
