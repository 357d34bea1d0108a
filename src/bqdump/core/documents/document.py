"""A document: a name in the bucket, and the type of what is stored under it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

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
