"""Typed documents over an object store: the one place that decodes, validates, and knows absence and lost races."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Generic, NamedTuple, TypeVar

from bqdump.core.documents.codec import decode, encode, encode_indented
from bqdump.core.documents.document import Document, Notes
from bqdump.core.documents.notes import encode_note
from bqdump.core.errors import ConflictError, NotFoundError, UnavailableError
from bqdump.ports.store import ObjectStore

T = TypeVar("T")


class Loaded(NamedTuple, Generic[T]):
    """A document as it is stored: its value, and the generation of the object."""

    value: T
    generation: int


class LoadedNote(NamedTuple, Generic[T]):
    """A note as a listing returns it."""

    name: str
    value: T
    generation: int


async def load(store: ObjectStore, document: Document[T]) -> Loaded[T] | None:
    """The document, or None where there is none. Raises DocumentError for one that cannot be what its name says."""
    try:
        stored = await store.read(document.name)
    except NotFoundError:
        return None
    return Loaded(decode(stored.data, document.type, document.name), stored.generation)


async def create(store: ObjectStore, document: Document[T], value: T) -> Loaded[T]:
    """Store the document unless there is one; what is stored in the end: this value, or that of whoever was first.

    Raises UnavailableError where the store refuses the document, and holds none.
    """
    generation = await _write(store, document, value, 0)
    if generation is not None:
        return Loaded(value, generation)
    if found := await load(store, document):
        return found
    raise UnavailableError("write", document.name, "the store refused it, although no such document exists")


async def swap(store: ObjectStore, document: Document[T], step: Callable[[T | None], T | None]) -> Loaded[T] | None:
    """Replace the document by what `step` makes of it, by compare-and-swap; what is stored in the end.

    step: from the present value (None: absent) to the next one, or None to leave everything as it is. Called again
    with the new value each time that another writer was faster.
    """
    while True:
        now = await load(store, document)
        value = step(now.value if now else None)
        if value is None:
            return now
        generation = await _write(store, document, value, now.generation if now else 0)
        if generation is not None:
            return Loaded(value, generation)


async def replace(store: ObjectStore, document: Document[T], value: T, generation: int) -> bool:
    """Store the document over exactly this generation (0: none). False where another writer was faster."""
    return await _write(store, document, value, generation) is not None


async def overwrite(store: ObjectStore, document: Document[T], value: T) -> None:
    """Store the document whatever there is."""
    await _write(store, document, value, None)


async def notes(store: ObjectStore, folder: Notes[T]) -> AsyncIterator[list[LoadedNote[T]]]:
    """All notes of a folder, page by page, by name: one request a page. Raises DocumentError."""
    async for page in store.notes(folder.folder):
        yield [LoadedNote(note.name, decode(note.data, folder.type, note.name), note.generation) for note in page]


async def _write(store: ObjectStore, document: Document[T], value: T, expect: int | None) -> int | None:
    try:
        if document.style == "note":
            return await store.write_note(document.name, encode_note(value), expect)
        encoded = encode_indented(value) if document.style == "page" else encode(value)
        return await store.write(document.name, encoded, expect)
    except ConflictError:
        return None
