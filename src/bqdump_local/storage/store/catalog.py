"""Metadata on disk, for a server that keeps it."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from bqdump_local.storage.store.records import BucketRecord, ObjectRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_TABLES = """
    create table if not exists buckets (name text primary key, record blob not null) without rowid;
    create table if not exists intended (bucket text, name text, record blob not null, primary key (bucket, name))
        without rowid;
    create table if not exists objects (bucket text, name text, record blob not null, primary key (bucket, name))
        without rowid;
"""
# Objects that are no longer live, in one table for noncurrent versions and one for soft-deleted objects.
_VERSIONS = """
    create table if not exists {} (bucket text, name text, generation integer, record blob not null,
        primary key (bucket, name, generation)) without rowid;
"""


class Catalog:
    """Stores the latest record of every bucket and object."""

    def __init__(self, path: Path) -> None:
        # The server runs in one thread, which need not be the one that created it.
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        # A local stand-in need not survive a power failure, so writes do not wait for the disk.
        self._database.executescript(f"pragma journal_mode = wal; pragma synchronous = off; {_TABLES}")
        for table in ("versions", "soft_deleted"):
            self._database.executescript(_VERSIONS.format(table))

    def buckets(self) -> list[BucketRecord]:
        """Every bucket."""
        rows = self._database.execute("select record from buckets").fetchall()
        return [msgspec.json.decode(row[0], type=BucketRecord) for row in rows]

    def objects(self) -> list[ObjectRecord]:
        """Every object."""
        rows = self._database.execute("select record from objects").fetchall()
        return [msgspec.json.decode(row[0], type=ObjectRecord) for row in rows]

    def save_bucket(self, record: BucketRecord, key: str | None = None) -> None:
        """Insert or replace. key: under another name."""
        row = (key or record.name, msgspec.json.encode(record))
        self._database.execute("replace into buckets values (?, ?)", row)

    def save_object(self, record: ObjectRecord) -> None:
        """Insert or replace."""
        row = (record.bucket, record.name, msgspec.json.encode(record))
        self._database.execute("replace into objects values (?, ?, ?)", row)

    @contextmanager
    def placing(self, record: ObjectRecord) -> Iterator[None]:
        """Store a record while its file is placed, so that the end of the process does not part the two."""
        key = (record.bucket, record.name)
        self._database.execute("replace into intended values (?, ?, ?)", (*key, msgspec.json.encode(record)))
        try:
            yield
        finally:
            self._database.execute("delete from intended where bucket = ? and name = ?", key)

    def settle(self, placed: Callable[[ObjectRecord], str | None]) -> None:
        """Save the records whose files an earlier process had placed when it ended. placed: where, or None."""
        for row in self._database.execute("select record from intended").fetchall():
            record = msgspec.json.decode(row[0], type=ObjectRecord)
            if place := placed(record):
                self.save_object(msgspec.structs.replace(record, place=place))
        self._database.execute("delete from intended")

    def delete_bucket(self, name: str) -> None:
        """Forget."""
        self._database.execute("delete from buckets where name = ?", (name,))

    def delete_object(self, bucket: str, name: str) -> None:
        """Forget."""
        self._database.execute("delete from objects where bucket = ? and name = ?", (bucket, name))

    def versions(self, table: str) -> list[ObjectRecord]:
        """Every object of a table of those that are no longer live."""
        rows = self._database.execute(f"select record from {table}").fetchall()
        return [msgspec.json.decode(row[0], type=ObjectRecord) for row in rows]

    def save_version(self, table: str, record: ObjectRecord) -> None:
        """Insert or replace."""
        row = (record.bucket, record.name, record.generation, msgspec.json.encode(record))
        self._database.execute(f"replace into {table} values (?, ?, ?, ?)", row)

    def delete_version(self, table: str, record: ObjectRecord) -> None:
        """Forget."""
        key = (record.bucket, record.name, record.generation)
        self._database.execute(f"delete from {table} where bucket = ? and name = ? and generation = ?", key)

    def close(self) -> None:
        """Close the database."""
        self._database.close()
