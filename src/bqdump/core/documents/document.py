"""A document: a name in the bucket, and the type of what is stored under it.

Types of fields that the documents share.

Sizes are bytes, counts are rows or files, times are milliseconds since 1970 UTC, or strings in RFC 3339.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

from msgspec import Meta

T_co = TypeVar("T_co", covariant=True)

# line: one line of JSON. page: indented, for people; documents that do not grow with the tables. note: at most
# `notes.NOTE_BYTES`, so that a listing returns it.
Style = Literal["line", "page", "note"]


@dataclass(frozen=True, slots=True)
class Document(Generic[T_co]):
    """One document. `name` is the object's full name, `type` a msgspec struct or a union of them."""

    name: str
    type: type[T_co]
    style: Style = "line"

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Notes(Generic[T_co]):
    """All notes below a folder, each of this type. `folder` ends with a slash."""

    folder: str
    type: type[T_co]


def union(types: Any) -> Any:
    """A union of structs as the type of a document: type checkers take it for no `type`."""
    return types


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
