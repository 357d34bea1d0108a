"""A manifest without one of its tables, and the result of an erasure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from getpass import getuser
from typing import Any

import msgspec
from msgspec.structs import replace

from bqdump.core.documents.copying import Expected
from bqdump.core.documents.manifest import Erased, Manifest, TableEntry, TableFiles
from bqdump.core.documents.manifest_index import snapshot_of
from bqdump.core.documents.retention import ObjectVersion
from bqdump.core.documents.run import Skipped
from bqdump.core.documents.target import Erasing
from bqdump.core.errors import UsageError
from bqdump.core.plan.record import totals_of
from bqdump.core.results import Result, public, rows_of
from bqdump.core.tables.patterns import labels_in
from bqdump.core.times import DATE, as_of_time, milliseconds_of, rfc3339
from bqdump.core.wording import placeholder


@public
class Held(msgspec.Struct, frozen=True):
    """An object that could not be deleted, why, and until when the bucket keeps it, None where that is not known."""

    name: str
    reason: str
    until: datetime | None = None


@public
class ErasedFrom(msgspec.Struct, frozen=True, kw_only=True):
    """What an erasure has taken out of the runs of an export, or would.

    runs: that had the table.
    files, bytes: that were deleted, or would be; a file that a run still names stays.
    held: objects that the bucket keeps.
    at, by, reason: as in the manifests.
    """

    table: str
    target: str
    runs: tuple[str, ...]
    files: int
    bytes: int
    at: datetime
    by: str
    reason: str
    held: tuple[Held, ...] = ()


@public
class Erasures(Result, frozen=True, kw_only=True):
    """A table that was taken out of the kept runs, or would be (`erased` is False): of a set, of each dataset's."""

    erased: bool
    exports: tuple[ErasedFrom, ...]
    notes: tuple[str, ...] = ()

    def to_dicts(self) -> list[dict[str, Any]]:
        """The exports as dictionaries, for `pandas.DataFrame` or `polars.DataFrame`."""
        return rows_of(self.exports)


MOST_WORDS = 500
EXPECTED = "Write a time with its zone (2026-01-31T03:00:00Z), a date (its beginning in UTC), or an age such as 30d."


def requested_erasure(table: str, before: str, reason: str, by: str, now: int) -> Erasing:
    """The erasure that is requested. now: ms since 1970 UTC. Raises UsageError."""
    for setting, text in (("reason", reason), ("by", by)):
        if len(text) > MOST_WORDS or not text.isprintable():
            cause = f"expected one line of up to {MOST_WORDS} characters"
            raise UsageError("erase", f"table {table}", cause, setting=setting)
    return Erasing(table, now, by or _user(), reason, _time_before(before, now) if before else 0, before.strip())


def refuse_without_reason(erasing: Erasing) -> None:
    """Raise UsageError for an erasure that begins without a reason. One that has begun has it."""
    if not erasing.reason.strip():
        raise UsageError("erase", "", "missing", "Say why the table is erased, such as a ticket.", setting="reason")


def repeats(asked: Erasing, begun: Erasing) -> bool:
    """Whether this is the request of an erasure that has begun: 30d is another time by now."""
    same = asked.before == begun.before or (bool(asked.given) and asked.given == begun.given)
    return asked.table == begun.table and same


def finishing(erasing: Erasing, dataset: str, place: Mapping[str, str] | None = None) -> str:
    """The complete command that finishes an erasure that has begun. place: settings of where it is, if elsewhere."""
    before = {"before": rfc3339(erasing.before)} if erasing.before else {}
    return placeholder("erase", {"table": f"{dataset}.{erasing.table}", **before, **(place or {}), "yes": True})


def underway(erasing: Erasing) -> str:
    """Why nothing may be planned or pruned now."""
    return f"table {erasing.table} is being erased from the kept runs, or that was interrupted"


def _user() -> str:
    """The user of this machine; a container may have none."""
    try:
        return getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def _time_before(text: str, now: int) -> int:
    time = text.strip()
    try:
        if DATE.fullmatch(time):
            return milliseconds_of(datetime.fromisoformat(time).replace(tzinfo=UTC))
        return as_of_time(time, now).until
    except (UsageError, ValueError) as error:
        cause = error.cause if isinstance(error, UsageError) else f"invalid time {time!r}: {error}"
        raise UsageError("erase", "", cause, EXPECTED, setting="before") from None


def versions_in(manifest: Manifest, erasing: Erasing) -> list[ObjectVersion]:
    """The objects that a manifest names of a table, if its rows are older than is to be erased."""
    entries = _concerned(manifest, erasing)
    left = [table for table in manifest.left if table.table == erasing.table]
    tables: list[TableEntry | TableFiles] = [*entries, *left]
    files = [ObjectVersion(file.name, file.generation, file.size) for table in tables for file in table.files]
    return [
        *files,
        *(
            ObjectVersion(metadata.name, metadata.generation, metadata.size)
            for table in tables
            for metadata in table.iceberg
        ),
    ]


def expected_in(manifest: Manifest, erasing: Erasing) -> list[Expected]:
    """The files of the table that a task of a copy which is late may store again. None where it is no copy."""
    entries = _concerned(manifest, erasing) if manifest.copy_of else ()
    return [Expected(file.name, file.size, file.crc32c) for entry in entries for file in entry.files]


def concerns(manifest: Manifest, erasing: Erasing) -> bool:
    """Whether a manifest has the table, with rows that are older than is to be erased."""
    return any(_concerned(manifest, erasing)) or leaves(manifest, erasing)


def leaves(manifest: Manifest, erasing: Erasing) -> bool:
    """Whether a manifest has files of the table that an earlier run has left, whose age it does not say."""
    return any(table.table == erasing.table for table in manifest.left)


def _concerned(manifest: Manifest, erasing: Erasing) -> Iterator[TableEntry]:
    for entry in manifest.tables:
        if entry.table == erasing.table and not 0 < erasing.before <= snapshot_of(manifest, entry):
            yield entry


def without_table(manifest: Manifest, note: Erased) -> Manifest:
    """A manifest without this table and what belongs to it, with a note of that."""
    gone = [entry for entry in manifest.tables if entry.table == note.table]
    tables = tuple(entry for entry in manifest.tables if entry.table != note.table)
    definitions, before = manifest.definitions, manifest.totals
    kept = [entry.carried.as_of for entry in tables if entry.carried]
    # Of a table that was carried over, an earlier run may have found that it was unchanged then.
    reused = sum(bool(entry.carried and entry.carried.unchanged_at >= manifest.snapshot) for entry in gone)
    totals = totals_of(
        tables,
        billed=max(0, before.billed - sum(entry.billed or 0 for entry in gone if entry.carried is None)),
        carried=before.carried - sum(entry.carried is not None for entry in gone) + reused,
        reused=before.reused - reused,
    )
    kind, labels = (gone[0].kind, labels_in(gone[0].definition)) if gone else ("TABLE", {})
    skipped_before = tuple(skipped for skipped in manifest.skipped if skipped.table != note.table)
    return replace(
        manifest,
        tables=tables,
        totals=totals,
        left=tuple(table for table in manifest.left if table.table != note.table),
        skipped=(*skipped_before, Skipped(note.table, kind, words_of(note), labels=labels)),
        removed_partitions=tuple(part for part in manifest.removed_partitions if part.table != note.table),
        oldest_snapshot_time=rfc3339(min([*kept, manifest.snapshot])),
        definitions=replace(
            definitions,
            objects=tuple(object_ for object_ in definitions.objects if object_.name != note.table),
            policies=tuple(policy for policy in definitions.policies if policy.table != note.table),
            indexes=tuple(index for index in definitions.indexes if index.table != note.table),
        ),
        erased=(*(earlier for earlier in manifest.erased if earlier != note), note),
    )


def words_of(note: Erased) -> str:
    """Why a run lacks a table, for people."""
    return f"erased on {rfc3339(note.at)} by {note.by}: {note.reason}"
