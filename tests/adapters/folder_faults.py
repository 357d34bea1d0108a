"""Kills a process, or makes its disk fail, at one step of its work in a folder."""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

# Steps that change a folder: events of https://docs.python.org/3/library/audit_events.html, and SQL statements.
CHANGES = ("os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.utime")
WORDS = ("UPDATE", "REPLACE", "INSERT", "DELETE", "COMMIT", "CREATE")
NEEDS_ROOM = ("open", "os.link", "os.mkdir", "sql")
REFUSALS = {"full": (errno.ENOSPC, sqlite3.SQLITE_FULL, "database or disk is full"),
            "denied": (errno.EACCES, sqlite3.SQLITE_READONLY, "attempt to write a readonly database"),
            "read-only": (errno.EROFS, sqlite3.SQLITE_CANTOPEN, "unable to open database file")}  # fmt: skip


class Killed(BaseException):
    """The process was killed."""


class Fault:
    """A fault at the step with this number (from 0), among all steps that change something or those called `only`."""

    def __init__(self, number: int, kind: str, only: tuple[str, ...] = ()) -> None:
        self.left, self.kind, self.only = number, kind, only
        self.went_off = False

    def step(self, name: str) -> None:
        """Raise the fault instead of this step. A killed process makes no more steps; a failed disk stays failed."""
        if not self.went_off and (not self.only or name in self.only):
            self.went_off = self.left == 0
            self.left -= 1
        if self.went_off and self.kind == "killed":
            raise Killed
        if self.went_off and (self.kind != "full" or name.partition(" ")[0] in NEEDS_ROOM):
            number, code, words = REFUSALS[self.kind]
            if name.startswith("sql"):
                error = sqlite3.OperationalError(words)
                error.sqlite_errorcode = code
                raise error
            raise OSError(number, os.strerror(number))


class Connection(sqlite3.Connection):
    """A connection whose changes are steps, and which does not wait for the disk."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        super().execute("PRAGMA synchronous = OFF")
        # What is killed here always rolls back.
        super().execute("PRAGMA journal_mode = MEMORY")
        self._before = 0

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        """See sqlite3.Connection."""
        word = sql.split(maxsplit=1)[0]
        if word == "BEGIN":
            self._before = self.total_changes
        # A read-only transaction is committed without a write.
        if _faults and word in WORDS and (word != "COMMIT" or self.total_changes != self._before):
            _faults[-1].step(f"sql {word}")
        return super().execute(sql, *values)


_faults: list[Fault] = []


def _hook(event: str, given: tuple[Any, ...]) -> None:
    if not _faults:
        return
    if event == "open":
        path, _, flags = given
        if flags & (os.O_WRONLY | os.O_RDWR) and ".bqdump-" in str(path):
            _faults[-1].step("open")
    elif event in CHANGES:
        _faults[-1].step(event)


sys.addaudithook(_hook)


@contextmanager
def unsynchronized() -> Iterator[None]:
    """In this context, nothing waits for the disk: what a killed process has written stays."""
    connect = sqlite3.connect

    def connected(*given: Any, **options: Any) -> sqlite3.Connection:
        return connect(*given, factory=Connection, **options)

    with mock.patch("sqlite3.connect", connected), mock.patch("os.fsync"):
        yield


@contextmanager
def fault(number: int, kind: str, only: tuple[str, ...] = ()) -> Iterator[Fault]:
    """In this context, inside `unsynchronized`, work in a folder meets this fault."""
    _faults.append(Fault(number, kind, only))
    try:
        yield _faults[-1]
    finally:
        _faults.pop()
