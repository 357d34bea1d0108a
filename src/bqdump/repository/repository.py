"""Typed documents over an object store: the one place that decodes, validates, and knows absence and lost races."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, NamedTuple, TypeVar

from bqdump.core.documents.codec import decode, encode, encode_indented
from bqdump.core.documents.document import Document, Notes
from bqdump.core.documents.notes import encode_note
from bqdump.core.errors import ConflictError, NotFoundError, UnavailableError
from bqdump.ports.store import ObjectStore, Stored

T = TypeVar("T")
# Writes over the same generation that a store refuses in a row: no other writer explains so many.
TIMES_REFUSED = 5


class Loaded(NamedTuple, Generic[T]):
    """A document as it is stored: its value, and the generation of the object. mine: this very call has stored it."""

    value: T
    generation: int
    mine: bool = False


class LoadedNote(NamedTuple, Generic[T]):
    """A note as a listing returns it."""

    name: str
    value: T
    generation: int


async def read(store: ObjectStore, document: Document[object]) -> Stored | None:
    """The document as it is stored, undecoded, or None where there is none."""
    try:
        return await store.read(document.name)
    except NotFoundError:
        return None


async def load(store: ObjectStore, document: Document[T]) -> Loaded[T] | None:
    """The document, or None where there is none. Raises DocumentError for one that cannot be what its name says."""
    stored = await read(store, document)
    return Loaded(decode(stored.data, document.type, document.name), stored.generation) if stored else None


async def value_of(store: ObjectStore, document: Document[T]) -> T | None:
    """The value of a document whose generation does not matter. See load."""
    found = await load(store, document)
    return found.value if found else None


async def exists(store: ObjectStore, document: Document[object]) -> bool:
    """Whether the document is there. It is not read."""
    return await store.stat(document.name) is not None


async def create(store: ObjectStore, document: Document[T], value: T) -> Loaded[T]:
    """Store the document unless there is one; what is stored in the end: this value, or that of whoever was first.

    Raises UnavailableError where the store refuses the document, and holds none.
    """
    if generation := await replace(store, document, value, 0):
        return Loaded(value, generation, mine=True)
    if found := await load(store, document):
        return found
    raise _refused(document)


async def swap(
    store: ObjectStore, document: Document[T], step: Callable[[T | None], Awaitable[T | None]]
) -> Loaded[T] | None:
    """Replace the document by what `step` makes of it, by compare-and-swap; what is stored in the end.

    step: from the present value (None: absent) to the next one, or None to leave everything as it is. Called again
    with the new value each time that another writer was faster. Raises what `step` raises, and UnavailableError where
    the store refuses the document although it is as it was.
    """
    refusals, last = 0, -1
    while True:
        now = await load(store, document)
        value, generation = await step(now.value if now else None), now.generation if now else 0
        if value is None:
            return now
        if made := await replace(store, document, value, generation):
            return Loaded(value, made, mine=True)
        refusals, last = refusals + 1 if generation == last else 1, generation
        if refusals == TIMES_REFUSED:
            raise _refused(document)


async def replace(store: ObjectStore, document: Document[T], value: T, generation: int) -> int | None:
    """Store the document over exactly this generation (0: none). The new one, None where another writer was faster."""
    try:
        return await _write(store, document, value, generation)
    except ConflictError:
        return None


async def write_once(store: ObjectStore, name: str, data: bytes) -> bool:
    """Store an object that is none of the typed documents, unless it is there; False where it is."""
    try:
        await store.write(name, data, 0)
    except ConflictError:
        return False
    return True


async def overwrite(store: ObjectStore, document: Document[T], value: T) -> None:
    """Store the document whatever there is."""
    await _write(store, document, value, None)


async def notes(store: ObjectStore, folder: Notes[T]) -> AsyncIterator[list[LoadedNote[T]]]:
    """All notes of a folder, page by page, by name: one request a page. Raises DocumentError."""
    async for page in store.notes(folder.folder):
        yield [LoadedNote(note.name, decode(note.data, folder.type, note.name), note.generation) for note in page]


async def _write(store: ObjectStore, document: Document[T], value: T, expect: int | None) -> int:
    if document.style == "note":
        return await store.write_note(document.name, encode_note(value), expect)
    encoded = encode_indented(value) if document.style == "page" else encode(value)
    return await store.write(document.name, encoded, expect)


def _refused(document: Document[object]) -> UnavailableError:
    return UnavailableError("write", document.name, "the store refused it, although no other writer was faster")
