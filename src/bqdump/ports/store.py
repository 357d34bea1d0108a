"""The store: a bucket or a folder that keeps objects by name, each at a generation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import IO, NamedTuple, Protocol, TypeVar

from bqdump.core.errors import BqdumpError
from bqdump.core.plan.file_names import NameRules

Result = TypeVar("Result")


class Stored(NamedTuple):
    """What `read` returns: the bytes and the generation they belong to."""

    data: bytes
    generation: int


class ObjectInfo(NamedTuple):
    """An object as a listing shows it: size in bytes, CRC32C in base64, generation, and who copied it there."""

    name: str
    size: int
    crc32c: str
    generation: int
    origin: str = ""


class Note(NamedTuple):
    """A small document that a listing brings along."""

    name: str
    data: bytes
    generation: int


class Copy(NamedTuple):
    """A wish to copy one object (at exactly this generation) over another (of generation `expect`, 0 for none).

    size, crc32c: those of the source, for comparing the answer with them; None: not known.
    """

    source: str
    source_generation: int
    target: str
    expect: int
    size: int | None = None
    crc32c: str | None = None


class BucketInfo(NamedTuple):
    """What a bucket says about itself: location ("" for nowhere in particular), for how many seconds it keeps objects
    against deletion, whether replaced objects stay as versions, whether new objects are put under a hold, the
    Cloud KMS key that encrypts what is written without naming one ("" for Google's own keys), and which names
    objects can have."""

    location: str
    retention_seconds: int
    soft_delete_seconds: int
    versions: bool = False
    holds: bool = False
    kms_key: str = ""
    names: NameRules = NameRules()


class ObjectStore(Protocol):
    """A bucket or a folder. Names are full object names. Every error is a BqdumpError.

    NotFoundError: no such bucket or object. DeniedError: a permission is missing. ConflictError: a generation
    is not as expected. UnavailableError: may be repeated; whether the request was carried out is unknown.
    """

    @property
    def url(self) -> str:
        """How a person finds it: gs://bucket or a folder."""
        ...

    async def describe(self) -> BucketInfo:
        """What the bucket says about itself."""
        ...

    async def stat(self, name: str) -> ObjectInfo | None:
        """The object as it is now, None when there is none."""
        ...

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """The object's bytes, or a part of them; a part beyond the end is empty.

        DocumentError for one of bqdump's own documents that is larger than any run makes it: it is not loaded.
        """
        ...

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """Store the object whole, and return its generation.

        expect: the generation it replaces, 0 for "must not exist", None for "whatever there is".
        """
        ...

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """Store what `fill` writes to the file that it is given, of any size, and return what `fill` returns.

        `fill` may block: it runs beside the event loop, once. The file takes writes only, in order. The object appears
        when `fill` has returned, whole and with its checksum compared; when `fill` raises, that is raised, and
        nothing has been stored.
        """
        ...

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """Store a small JSON document that `notes` returns with the listing.

        Its name is one of those that `core.documents.layout.is_note` recognizes: a folder needs no other mark.
        """
        ...

    def notes(self, prefix: str) -> AsyncIterator[list[Note]]:
        """All notes below the prefix, page by page, by name. One request a page, not one a note."""
        ...

    def objects(self, prefix: str) -> AsyncIterator[list[ObjectInfo]]:
        """All objects whose names start with the prefix, page by page, by name."""
        ...

    async def folders(self, prefix: str) -> list[str]:
        """The names of the folders right below the prefix, which ends with a slash; by name."""
        ...

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """Copy inside the store; one result for each wish, in order. Each copy is atomic for its readers.

        Every copy carries `origin`, so that whoever finds it knows who has put it there.
        """
        ...

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """Delete each name at exactly this generation; False where that generation is no longer there."""
        ...

    async def close(self) -> None:
        """Let go of connections and threads."""
        ...
