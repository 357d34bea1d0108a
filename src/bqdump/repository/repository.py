"""Typed documents over an object store: the only place that decodes, validates, and handles absence and lost races."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Generic, Literal, NamedTuple, TypeVar

from bqdump.core.documents.codec import decode, encode, encode_indented
from bqdump.core.documents.document import Document, Notes
from bqdump.core.documents.notes import encode_note
from bqdump.core.errors import (
    PLAN,
    BqdumpError,
    ConflictError,
    DocumentError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from bqdump.core.settings.target import Target
from bqdump.core.wording import placeholder
from bqdump.ports.store import ObjectStore, Stored
from bqdump.repository.objects import read_object

T = TypeVar("T")
# Consecutive refused writes over an unchanged generation. Concurrent writers cannot cause this many.
TIMES_REFUSED = 5


class Loaded(NamedTuple, Generic[T]):
    """A stored document: its value, and the generation of the object. mine: this call stored it."""

    value: T
    generation: int
    mine: bool = False


# A document as it was last seen; None: it was absent.
Known = Loaded[T] | Literal["unread"] | None


class LoadedNote(NamedTuple, Generic[T]):
    """A note from a listing."""

    name: str
    value: T
    generation: int


async def read(store: ObjectStore, document: Document[object]) -> Stored | None:
    """The stored document, undecoded, or None if there is none."""
    return await read_object(store, document.name)


async def load(store: ObjectStore, document: Document[T]) -> Loaded[T] | None:
    """The document, or None if there is none. Raises DocumentError if its content does not fit its name."""
    stored = await read(store, document)
    return Loaded(decode(stored.data, document.type, document.name), stored.generation) if stored else None


async def value_of(store: ObjectStore, document: Document[T]) -> T | None:
    """The value of a document whose generation does not matter. See load."""
    loaded = await load(store, document)
    return loaded.value if loaded else None


async def exists(store: ObjectStore, document: Document[object]) -> bool:
    """Whether the document is there. It is not read."""
    return await store.stat(document.name) is not None


async def create(store: ObjectStore, document: Document[T], value: T) -> Loaded[T]:
    """Store the document unless it exists. Returns the stored one: this value, or that of the first writer.

    Raises UnavailableError if the store refuses the document and none exists.
    """
    refused: ConflictError
    for _ in range(TIMES_REFUSED):
        try:
            return Loaded(value, await _write(store, document, value, 0), mine=True)
        except ConflictError as error:
            refused = error
        # What another writer stored may have been deleted again.
        if stored := await load(store, document):
            return stored
    raise _refused(document, refused)


async def swap(
    store: ObjectStore,
    document: Document[T],
    step: Callable[[T | None], Awaitable[T | None]],
    *,
    known: Known[T] = "unread",
    anew: bool = False,
) -> Loaded[T] | None:
    """Update the document with `step`, by compare-and-swap. Returns the stored document.

    step: maps the present value (None: absent) to the next one, or to None to leave it unchanged. Called again with the
        new value each time another writer was faster.
    known: the document as it was last seen, which saves reading it.
    anew: one that cannot be read counts as absent, and is replaced.

    Raises what `step` raises, and UnavailableError if the store refuses the write although the document is unchanged.
    """
    refusals, last = 0, -1
    while True:
        damaged = 0
        try:
            now = await load(store, document) if isinstance(known, str) else known
        except DocumentError:
            info = await store.stat(document.name)
            if not anew or info is None:
                raise
            now, damaged = None, info.generation
        known = "unread"
        value, generation = await step(now.value if now else None), now.generation if now else damaged
        if value is None:
            return now
        try:
            return Loaded(value, await _write(store, document, value, generation), mine=True)
        except ConflictError as error:
            refusals, last = refusals + 1 if generation == last else 1, generation
            if refusals == TIMES_REFUSED:
                raise _refused(document, error) from error


async def replace(store: ObjectStore, document: Document[T], value: T, generation: int) -> int | None:
    """Store the document over exactly this generation (0: none). The new one, None if another writer was faster."""
    try:
        return await _write(store, document, value, generation)
    except ConflictError:
        return None


async def store_first(store: ObjectStore, document: Document[T], value: T, *, once: bool) -> bool:
    """Store a document that nobody has a reason to have stored before: another one that is there is replaced.

    once: unless nothing is replaced there, as where objects are locked; then False.
    """
    if await replace(store, document, value, 0):
        return True
    with suppress(DocumentError):
        # A request whose answer was lost may have been repeated.
        if await value_of(store, document) == value:
            return True
    if not once:
        await overwrite(store, document, value)
    return not once


async def overwrite(store: ObjectStore, document: Document[T], value: T) -> None:
    """Store the document unconditionally."""
    await _write(store, document, value, None)


async def delete(store: ObjectStore, objects: Iterable[tuple[str, int]]) -> int:
    """Delete objects at these generations; how many were there. Raises the first error, other than their absence."""
    deleted = 0
    for result in await store.delete(list(objects)):
        if isinstance(result, BqdumpError):
            raise result
        deleted += result
    return deleted


async def notes(store: ObjectStore, folder: Notes[T]) -> AsyncIterator[list[LoadedNote[T]]]:
    """All notes of a folder, page by page, sorted by name. One request per page. Raises DocumentError."""
    async for page in store.notes(folder.folder):
        yield [LoadedNote(note.name, decode(note.data, folder.type, note.name), note.generation) for note in page]


async def _write(store: ObjectStore, document: Document[T], value: T, expect: int | None) -> int:
    if document.style == "note":
        return await store.write_note(document.name, encode_note(value), expect)
    encoded = encode_indented(value) if document.style == "page" else encode(value)
    return await store.write(document.name, encoded, expect)


def _refused(document: Document[object], error: ConflictError) -> UnavailableError:
    cause = f"the store refused it, although no other writer was faster: {error.cause}"
    return UnavailableError("write", document.name, cause)


@asynccontextmanager
async def naming_missing_bucket(*stores: ObjectStore) -> AsyncIterator[None]:
    """Raise NotFoundError about a bucket instead of what was not found in it, if the bucket does not exist."""
    try:
        yield
    except NotFoundError:
        for store in stores:
            try:
                await store.describe()
            except NotFoundError:
                raise
            except BqdumpError:
                # Without permission to read the bucket's settings, it may exist.
                continue
        raise


def refuse_place(store: ObjectStore, target: Target) -> None:
    """Raise UsageError for a place that holds copies of exports only."""
    if not store.abilities.exports:
        cause = "exports cannot be written there directly, as BigQuery does not write to it"
        copy = placeholder("copy", {"dest": str(target), "to": "gs://BUCKET/PREFIX"})
        hint = f"Export to a bucket of Cloud Storage or a folder, then: {copy}"
        raise UsageError(PLAN, store.url, cause, hint)
