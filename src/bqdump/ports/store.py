"""The store: a bucket or a folder with objects, each with a name and a generation, which is a number that changes
whenever the object of that name is replaced, also by the same bytes.

What locks objects, so that nobody deletes or replaces them before a date.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, TypeVar

from msgspec import Struct

from bqdump.core.documents.path_template import NameRules
from bqdump.core.errors import BqdumpError
from bqdump.core.sizes import counted
from bqdump.core.times import rfc3339

if TYPE_CHECKING:
    from bqdump.core.plan.lifecycle import LifecycleRule

Result = TypeVar("Result")


class Stored(NamedTuple):
    """The bytes of an object, and their generation."""

    data: bytes
    generation: int


class ObjectInfo(NamedTuple):
    """An object: size in bytes, CRC32C in base64, generation, and the origin of a copy (else ""). See also Abilities.

    updated: when this generation was written, in milliseconds since 1970 UTC by the store's clock; 0 if not known.
    locked_until: the time before which the store deletes and replaces it for nobody, in the same unit; 0 for none.
    """

    name: str
    size: int
    crc32c: str
    generation: int
    origin: str = ""
    updated: int = 0
    locked_until: int = 0


class Note(NamedTuple):
    """A small document that a listing returns with its content. updated: see ObjectInfo."""

    name: str
    data: bytes
    generation: int
    updated: int = 0


def is_in_folder(name: str, prefix: str, ends: str) -> bool:
    """Whether an object is the one with this end of its name in a folder directly below the prefix."""
    folder, slash, rest = name.removeprefix(prefix).partition("/")
    return name.startswith(prefix) and bool(folder and slash) and rest == ends


class Copy(Struct, frozen=True):
    """A request to copy an object, at exactly this generation, over another one of generation `expect` (0: none).

    size, crc32c: those of the source, which the answer is compared with; None if unknown.
    sha256: the same, where bytes are read on the way; "" if unknown.
    """

    source: str
    source_generation: int
    target: str
    expect: int
    size: int | None = None
    crc32c: str | None = None
    sha256: str = ""


class BucketInfo(Struct, frozen=True):
    """The settings of a bucket.

    location: "" for a folder.
    retention_seconds: how long objects cannot be deleted.
    soft_delete_seconds: how long deleted objects are kept.
    versions: whether replaced objects are kept as noncurrent versions.
    holds: whether new objects get a hold.
    kms_key: the default Cloud KMS key, "" for Google's keys.
    names: rules for object names.
    lifecycle: the rules by which objects are deleted or change their class.
    locks: whether single objects can be locked, None where that is not known.
    """

    location: str
    retention_seconds: int
    soft_delete_seconds: int
    versions: bool = False
    holds: bool = False
    kms_key: str = ""
    names: NameRules = NameRules()
    lifecycle: tuple[LifecycleRule, ...] = ()
    locks: bool | None = None


class Abilities(Struct, frozen=True):
    """What differs among stores; the defaults are those of Cloud Storage.

    listed_checksums: whether listings return CRC32C, origin and locks. Without it they are "" and 0 there, and `stat`
        returns them, with a request for each object.
    exports: whether exports are written there directly, not only copied.
    leaves_uploads: whether an upload whose process was killed stays, and is billed.
    deleted: whether it is a Keeper, which shows what was deleted.
    markers: whether what is locked can be hidden, by a delete marker or a version.
    late_generations: whether `stream` may return an object before its generation is known: see
    `ports.mover.Settling`.
    listed_notes: whether listings return the content of notes. Without it, each costs a request.
    dated: whether it is known when an object was written: a file has the time that the last tool has given it.
    trusting: whether it returns only manifests that a trusted key has signed. Then what says something about a run
        and is not signed, as an entry of the log, is compared with the manifest.
    """

    listed_checksums: bool = True
    exports: bool = True
    leaves_uploads: bool = False
    deleted: bool = False
    markers: bool = False
    late_generations: bool = False
    listed_notes: bool = True
    dated: bool = True
    trusting: bool = False


class ObjectStore(Protocol):
    """A bucket or a folder. Names are complete object names. Every error is a BqdumpError:

    NotFoundError: no such bucket or object. DeniedError: a permission is missing. ConflictError: a generation
    is not the expected one. UnavailableError: the request can be retried, and may have been carried out.
    """

    @property
    def url(self) -> str:
        """The location for people: gs://bucket or the path of the folder."""

    @property
    def abilities(self) -> Abilities:
        """What the store can do."""

    async def describe(self) -> BucketInfo:
        """The settings of the bucket."""

    async def stat(self, name: str) -> ObjectInfo | None:
        """The object as it is now; None if there is none."""

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """The object's bytes, or a range of them; a range beyond the end is empty, and may be of generation 0.

        A complete read raises DocumentError, instead of loading the object, if it is larger than an object of that name
        can be.
        """

    async def write(self, name: str, data: bytes, expect: int | None) -> int:
        """Store the object atomically, and return its generation.

        expect: the generation to replace. 0: the object must not exist. None: replace any.
        """

    async def upload(
        self, name: str, fill: Callable[[IO[bytes]], Result], expect: int | None
    ) -> tuple[ObjectInfo, Result]:
        """Store what `fill` writes to its file, of any size. Returns the object and the result of `fill`.

        `fill` is called once, and may block. The file supports only sequential writes. The object appears after `fill`
        has returned, complete and with its checksum verified. If `fill` raises an exception, nothing is stored, and the
        exception is raised.
        """

    async def stream(self, name: str, pieces: AsyncIterator[bytes], expect: int | None) -> ObjectInfo:
        """Store an object of any size from its pieces, in order. At most a few of them are held at a time.

        The object appears after the last piece; otherwise as in `upload`, with `pieces` in the place of `fill`. Its
        generation may be known later: see Abilities.
        """

    async def write_note(self, name: str, data: bytes, expect: int | None) -> int:
        """Store a small JSON document that `notes` also returns.

        Raises ValueError if it is too large for a listing, or has a name that no note has.
        """

    def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        """All notes below the prefix, sorted by name, page by page. start: see `objects`.

        One request per page, and one for each note that `write_note` has not written: the object's content counts,
        whoever has stored it. Content that is larger than any note is cut, so that it cannot be decoded.
        """

    def objects(self, prefix: str, start: str = "") -> AsyncIterator[list[ObjectInfo]]:
        """All objects whose names start with the prefix, sorted by name, page by page.

        start: only names from this one on, in the order of their UTF-8 bytes.
        """

    async def folders(self, prefix: str) -> list[str]:
        """The sorted names of the folders directly below the prefix, which ends with a slash."""

    async def in_folders(self, prefix: str, name: str) -> list[ObjectInfo]:
        """The object of this name in each folder directly below the prefix that has one, sorted; as in listings.

        One request per page, or one for each folder, where the store cannot select names.
        """

    async def copy(self, copies: Sequence[Copy], origin: str) -> list[ObjectInfo | BqdumpError]:
        """Copy objects inside the store. One result per copy, in order. Each copy is atomic.

        origin: recorded with every copy, and returned by listings.
        """

    async def append(self, name: str, generation: int, data: bytes, scratch: str) -> ObjectInfo:
        """Add bytes to the end of an object of this generation, which gets a new one. Raises ConflictError for another.

        scratch: the name of an object that may be needed meanwhile, which no other request uses.
        """

    async def delete(self, objects: Sequence[tuple[str, int]]) -> list[bool | BqdumpError]:
        """Delete each object at exactly this generation; False if that generation no longer exists."""

    async def discard_uploads(self, names: Collection[str]) -> None:
        """Discard what uploads to these names that never ended have left. See Abilities.leaves_uploads."""

    async def close(self) -> None:
        """Release connections and threads."""


class Lock(Struct, frozen=True):
    """How new objects are locked.

    until: in milliseconds since 1970 UTC, a whole second.
    strict: nobody may end it earlier, else who has the permission for that.
    """

    until: int
    strict: bool = False


class Locks(Protocol):
    """A store that locks every object that it writes. Every error is a BqdumpError."""

    async def extend(self, objects: Sequence[tuple[str, int]], until: int) -> list[bool | BqdumpError]:
        """Lock each object at exactly this generation until then, unless it is locked for longer.

        False if that generation no longer exists. Never ends a lock earlier.
        """


class Hidden(Struct, frozen=True):
    """An object that is not there any more as it was, and of which the store keeps a version.

    by: what has removed it, in words.
    locked_until: see ObjectInfo.
    command: brings it back, as a shell takes it.
    command: "" where it might delete what another run names.
    info: what is kept, as a listing has it.
    version: what the store calls that.
    over: the same of what hides it, the newest first.
    more: of these, those not in the command.
    """

    name: str
    by: str
    locked_until: int
    command: str
    info: ObjectInfo | None = None
    version: str = ""
    over: tuple[str, ...] = ()
    more: int = 0

    @property
    def text(self) -> str:
        """The same for people, without the name."""
        locked = f", and its version is locked until {rfc3339(self.locked_until)}" if self.locked_until else ""
        if not self.command:
            return f"{self.by}{locked}; what is over it is locked, too, and may be a file of a later run"
        how = f" by deleting {counted(len(self.over), 'version')} over it, the newest with" if self.more else ""
        return f"{self.by}{locked}; bring it back{how}: {self.command}"


class Keeper(Protocol):
    """A store that keeps versions of what was deleted. Every error is a BqdumpError."""

    async def hidden(
        self, prefix: str, *, replaced: bool = False, wanted: Mapping[str, int] | None = None
    ) -> list[Hidden]:
        """The objects below the prefix that were deleted and that it would bring back, sorted by name.

        replaced: also those that another version was put over, where locks do not prevent that. Of each, it is the
            first version that was ever locked.
        wanted: only these, at these generations, whether locked or not.
        """

    async def uncover(self, hidden: Sequence[Hidden]) -> list[Hidden]:
        """From now on, this store reads, lists, locks and deletes these as they were. For others, nothing changes.

        Those that it has not read like this before.
        """
