"""The documents of publishing: which run is published, and which one may write final names now."""

from __future__ import annotations

from typing import Literal

import msgspec

from bqdump.core.documents.fields import FORMAT_VERSION, Count, Mode, RunId, Time
from bqdump.core.documents.manifest import IcebergFile, OfExport
from bqdump.core.documents.run import OfRun


class Pointer(OfRun, msgspec.Struct, frozen=True):
    """A run as `latest.json` names it."""

    run: RunId
    snapshot: Time
    manifest: str


class Latest(OfExport, msgspec.Struct, frozen=True, kw_only=True):
    """The published run. uncleared: earlier runs whose stale files may not be deleted yet.

    number, over, oldest_snapshot_time: as in the manifest. carried: the number of its tables that are carried over.
    iceberg: the document with the metadata file of each Iceberg table, "" where the run has none.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    number: Count = 0
    dataset: str
    project: str
    snapshot_time: str
    snapshot: Time
    status: Literal["complete", "partial"]
    mode: Mode
    manifest: str
    manifest_generation: Count
    uncleared: tuple[Pointer, ...] = ()
    over: str = ""
    carried: Count = 0
    oldest_snapshot_time: str = ""
    iceberg: str = ""


class IcebergTables(msgspec.Struct, frozen=True, kw_only=True):
    """The Iceberg tables of a run: the metadata file of each, by the name of the table.

    It begins as the manifest has them. Prune moves it to files without the snapshots of deleted runs. rewritten: the
    files that prune has written, which are deleted with the run.
    """

    format_version: int = FORMAT_VERSION
    run: RunId
    tables: dict[str, str]
    rewritten: tuple[IcebergFile, ...] = ()


class Publishing(OfRun, msgspec.Struct, frozen=True, omit_defaults=True):
    """The run that may write final names. manifest: the name of its intent.

    ready: set once all of its files are in place: the next latest.json, whichever task writes it.
    """

    run: RunId
    snapshot: Time
    manifest: str
    ready: Latest | None = None


class Intent(msgspec.Struct, frozen=True):
    """The final object names that a run is about to write."""

    run: RunId
    names: tuple[str, ...]
    format_version: int = FORMAT_VERSION
