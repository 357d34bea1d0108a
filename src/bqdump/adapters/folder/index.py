"""The index of a folder: generations, origins and checksums of its files, in an SQLite file next to them.

The index can always be updated from the files, since a process may be killed between renaming a file and recording
it. A file that differs from its entry is an object of a new generation. Only the origin of a copy is not in the file,
so copies are announced in the index before they are made.

Reading a folder without an index, such as a copy of a bucket, does not create one. There, a file's generation is the
time of its last change.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, NamedTuple

from bqdump.adapters.checksums import crc32c_of_file
from bqdump.adapters.folder.paths import OWN, WINDOWS, folder_status, names_below, path_of, status_of
from bqdump.core.documents.validation import refuse_size
from bqdump.core.errors import ConflictError
from bqdump.ports.store import ObjectInfo, Stored

INDEX = f"{OWN}index.sqlite"
# An index of this version has its tables, so most openings change nothing.
VERSION = 1
SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS objects (
  name TEXT PRIMARY KEY, size INTEGER, changed INTEGER, crc32c TEXT, generation INTEGER, origin TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS copies (
  name TEXT PRIMARY KEY, inode TEXT, size INTEGER, changed INTEGER, crc32c TEXT, origin TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS generations (last INTEGER);
INSERT INTO generations SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM generations);
PRAGMA user_version = 1;
COMMIT;
"""
# By folder. A thread of this process holds it before it locks the index: SQLite tries again after ever longer pauses.
TURNS: dict[str, threading.Lock] = {}
CHANGE_NOTHING = "UPDATE generations SET last = last WHERE FALSE"


class Row(NamedTuple):
    """The entry of a file. changed: in nanoseconds since 1970."""

    name: str
    size: int
    changed: int
    crc32c: str
    generation: int
    origin: str

    @property
    def info(self) -> ObjectInfo:
        """The file as an object."""
        return ObjectInfo(self.name, self.size, self.crc32c, self.generation, self.origin, self.changed // 1_000_000)


def read_recorded(root: Path, name: str, start: int, length: int | None) -> Stored | None:
    """Read a file without a lock. None if it does not exist, or differs from its entry: that takes a lock.

    An open file stays as it is, since files are replaced, and not changed. Windows does not replace open files.
    """
    if WINDOWS or status_of(root, name) is None:
        return None
    with suppress(FileNotFoundError), path_of(root, name).open("rb") as file:
        row = _recorded(root, name, os.fstat(file.fileno()))
        return content_of(file, row, start, length) if row else None
    return None


def content_of(file: IO[bytes], row: Row, start: int, length: int | None) -> Stored:
    """See ObjectStore.read."""
    if length is None and not start:
        refuse_size(row.name, row.size)
    file.seek(start)
    return Stored(file.read(-1 if length is None else length), row.generation)


def _recorded(root: Path, name: str, status: os.stat_result) -> Row | None:
    """The same from an index that is opened for this, None also where that cannot be read now."""
    if folder_status(root, (INDEX,)) is None:
        return None
    try:
        # If the index is being written, its lock is waited for elsewhere.
        with closing(sqlite3.connect(f"{(root / INDEX).as_uri()}?mode=ro", uri=True, timeout=0)) as rows:
            return _entry(rows, name, status)
    except sqlite3.Error:
        return None


def _entry(rows: sqlite3.Connection, name: str, status: os.stat_result) -> Row | None:
    """The entry of a file, None if it has another one's size or time."""
    entry = rows.execute("SELECT * FROM objects WHERE name = ?", (name,)).fetchone()
    return Row(*entry) if entry and (entry[1], entry[2]) == (status.st_size, status.st_mtime_ns) else None


@contextmanager
def locked_index(root: Path, *, writes: bool) -> Iterator[Index]:
    """The index of a folder, locked for this thread. Without `writes`, none is created; with it, the folder exists."""
    # Raises TargetError for a link.
    kept = folder_status(root, (INDEX,)) is not None or writes
    turn = TURNS.setdefault(str(root), threading.Lock()) if kept else nullcontext()
    with turn, _opened(root, kept=kept, writes=writes) as index:
        yield index


@contextmanager
def _opened(root: Path, *, kept: bool, writes: bool) -> Iterator[Index]:
    try:
        if kept and not writes and not os.access(root, os.W_OK):
            opened = _in_memory(root / INDEX)
        else:
            opened = _locked(root / INDEX if kept else ":memory:")
    except sqlite3.OperationalError as error:
        # The low byte is the primary error code.
        if writes or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        opened = _in_memory(root / INDEX)
    with closing(opened) as rows:
        index = Index(root, rows, kept=kept)
        try:
            yield index
            rows.execute("COMMIT")
        except Exception:
            index.take_back()
            raise


def _locked(place: Path | str) -> sqlite3.Connection:
    rows = sqlite3.connect(place, timeout=60, isolation_level=None)
    try:
        complete = rows.execute("PRAGMA user_version").fetchone() == (VERSION,)
        # Either fails for an index that cannot be written, for which BEGIN IMMEDIATE alone succeeds.
        rows.executescript(CHANGE_NOTHING if complete else SCHEMA)
        rows.execute("BEGIN IMMEDIATE")
    except BaseException:
        rows.close()
        raise
    return rows


def _in_memory(index: Path) -> sqlite3.Connection:
    """A copy in memory of an index that cannot be locked, as on a read-only disk. Changes are not stored."""
    rows = sqlite3.connect(":memory:", isolation_level=None)
    with closing(sqlite3.connect(f"{index.as_uri()}?mode=ro", uri=True, timeout=60)) as stored:
        stored.backup(rows)
    rows.execute("BEGIN IMMEDIATE")
    return rows


class Index:
    """The entries of the files. Every look-up updates the entry from the file."""

    def __init__(self, root: Path, rows: sqlite3.Connection, *, kept: bool) -> None:
        self._root, self._rows, self._kept = root, rows, kept
        self._created: list[Path] = []

    def find(self, name: str, *, summed: bool = True) -> Row | None:
        """The file as it is now; None if there is none.

        summed: whether to compute the checksum, which reads a file that the index does not contain.
        """
        status = status_of(self._root, name)
        if status is None:
            self.forget(name)
            return None
        path = path_of(self._root, name)
        if known := _entry(self._rows, name, status):
            return known
        if not self._kept:
            checksum = crc32c_of_file(path) if summed else ""
            return Row(name, status.st_size, status.st_mtime_ns, checksum, status.st_mtime_ns, "")
        announced = self._rows.execute(
            "SELECT crc32c, origin FROM copies WHERE (name, inode, size, changed) = (?, ?, ?, ?)",
            (name, *_identity(status)),
        ).fetchone()
        return self.enter(name, *(announced or (crc32c_of_file(path),)))

    def below(self, prefix: str, among: Callable[[str], bool] = lambda name: True) -> list[Row]:
        """All files whose names start with this and that are selected, by name."""
        names = sorted(name for name in names_below(self._root, prefix) if among(name))
        return [row for name in names if (row := self.find(name))]

    def expect(self, name: str, generation: int | None) -> None:
        """Raise ConflictError unless the file has this generation; None accepts any."""
        row = self.find(name) if generation is not None else None
        current = row.generation if row else 0
        if generation is not None and generation != current:
            raise ConflictError("write", f"{self._root}/{name}", f"its generation is {current}, not {generation}")

    def announce(self, name: str, copy: Path, checksum: str, origin: str) -> None:
        """Record the origin of the copy that will get this name, effective from the next `settle`."""
        row = (name, *_identity(copy.stat()), checksum, origin)
        self._rows.execute("REPLACE INTO copies VALUES (?, ?, ?, ?, ?, ?)", row)

    def settle(self) -> None:
        """Store the entries made so far. Another process may use the index before this one continues."""
        self._rows.execute("COMMIT")
        self._created.clear()
        self._rows.execute("BEGIN IMMEDIATE")

    def take_back(self) -> None:
        """Remove new files, which cannot be recorded. Their writes are reported as failed."""
        for path in self._created:
            with suppress(OSError):
                path.unlink()

    def place(self, name: str, file: Path, checksum: str, origin: str = "") -> Row:
        """Give a complete file its name, atomically."""
        path = path_of(self._root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        replaced = status_of(self._root, name)
        if replaced and not origin:
            _make_different(file, replaced)
        file.replace(path)
        if not replaced:
            self._created.append(path)
        return self.enter(name, checksum, origin)

    def enter(self, name: str, checksum: str, origin: str = "") -> Row:
        """Record a file as it is now, under a new generation."""
        (generation,) = self._rows.execute("UPDATE generations SET last = last + 1 RETURNING last").fetchone()
        status = path_of(self._root, name).stat()
        row = Row(name, status.st_size, status.st_mtime_ns, checksum, generation, origin)
        self._rows.execute("REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)", row)
        self._rows.execute("DELETE FROM copies WHERE name = ?", (name,))
        return row

    def forget(self, name: str) -> None:
        """Remove the entry of a deleted file."""
        self._rows.execute("DELETE FROM objects WHERE name = ?", (name,))


def _identity(status: os.stat_result) -> tuple[str, int, int]:
    """What identifies a file after it is renamed. Inode numbers can be larger than SQLite's integers."""
    return str(status.st_ino), status.st_size, status.st_mtime_ns


def _make_different(file: Path, replaced: os.stat_result) -> None:
    """Give a file another modification time than the file of the same size that it will replace.

    The index distinguishes files by it, and file systems have coarse clocks: some tick every two seconds.
    """
    for later in (1, 1000, 2_000_000_000):
        status = file.stat()
        if (status.st_size, status.st_mtime_ns) != (replaced.st_size, replaced.st_mtime_ns):
            return
        os.utime(file, ns=(status.st_atime_ns, replaced.st_mtime_ns + later))
