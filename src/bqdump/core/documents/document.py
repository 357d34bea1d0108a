"""A document: a name in the bucket, and the type of what is stored under it.

Types of fields that the documents share.

Sizes are bytes, counts are rows or files, times are milliseconds since 1970 UTC, or strings in RFC 3339.
"""

from __future__ import annotations

import re
from typing import Annotated, Generic, Literal, Protocol, TypeVar

from msgspec import Meta, Struct

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

# line: one line of JSON. page: indented, for people; documents that do not grow with the tables. note: at most
# `notes.NOTE_BYTES`, so that a listing returns it.
Style = Literal["line", "page", "note"]


class Document(Struct, Generic[T_co], frozen=True):
    """One document.

    name: the object's full name.
    type: a msgspec struct, or several, of which the document is one.
    """

    name: str
    type: type[T_co] | tuple[type[T_co], ...]
    style: Style = "line"

    def __str__(self) -> str:
        return self.name


class Notes(Struct, Generic[T_co], frozen=True):
    """All notes below a folder, which ends with a slash; each is of this type, or of one of these types."""

    folder: str
    type: type[T_co] | tuple[type[T_co], ...]


class Layout(Protocol):
    """Object names below one folder; `root` ends with a slash."""

    @property
    def root(self) -> str:
        """The folder."""


class At(Generic[T]):
    """In the class of a layout: the document at this path below its root."""

    def __init__(self, path: str, type_: type[T], style: Style = "line") -> None:
        self._path, self._type, self._style = path, type_, style

    def __get__(self, layout: Layout, _: object) -> Document[T]:
        return Document(layout.root + self._path, self._type, self._style)


class Path:
    """In the class of a layout: the name of a folder, which ends with a slash, or of an object below its root."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __get__(self, layout: Layout, _: object) -> str:
        return layout.root + self._path


FORMAT_VERSION = 1
# The folder of bqdump's own documents.
STATE = "_bqdump"
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
# The largest documents in bytes; larger ones are not read.
LARGEST = 512 << 20
# The counts of BigQuery and Cloud Storage are signed 64-bit integers.
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Attempt = Annotated[int, Meta(ge=0, le=999)]
# Up to the end of the year 9999, the last that RFC 3339 can express.
Time = Annotated[int, Meta(ge=0, lt=253_402_300_800_000)]
# In Python, $ also matches before a trailing line break.
RunId = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$(?!\n)")]
UnitId = Annotated[str, Meta(pattern=r"^[0-9]{5,9}-[0-9]{5,9}$(?!\n)")]
Nonce = Annotated[str, Meta(pattern=r"^[0-9a-f]{1,32}$(?!\n)")]
# Whether an export replaces the files of the one before, or each run keeps a folder of its own.
Mode = Literal["replace", "keep"]
# When a table is read: at the plan's snapshot time, or when its job runs (views, for example, have no time travel).
ReadAt = Literal["snapshot", "job"]


class RunDocument:
    """A document of a run. age: orders runs."""

    __slots__ = ()
    run: RunId
    snapshot: Time

    @property
    def age(self) -> tuple[int, str]:
        """The later snapshot time wins, the run id breaks a tie."""
        return (self.snapshot, self.run)


class ByMode:
    """A document that says whether the files of its run replace those of others."""

    __slots__ = ()
    mode: Mode

    @property
    def replaces(self) -> bool:
        """Whether the files replaced those of the export before, and the next export replaces them.

        In contrast to a run that keeps a folder of its own.
        """
        return self.mode == "replace"


class ExportDocument(RunDocument, ByMode):
    """A document of the run of an export."""

    __slots__ = ()
