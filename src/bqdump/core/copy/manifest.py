"""The manifest of a copied run: that of its source, with the names and generations of the copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec.structs import replace

from bqdump.core.copy.names import copied_settings, renamed
from bqdump.core.documents.copying import CopyOf
from bqdump.core.documents.manifest import Carried, File, Manifest, PartitionEntry, TableEntry
from bqdump.core.documents.publication import Latest
from bqdump.core.settings.target import Target, record_of

# Settings that are the same for all tables of a copy.
OF_THE_PLACE = ("bucket", "to", "prefix", "iceberg")


class Here(NamedTuple):
    """A file of the copy: its generation there, and its SHA-256 ("" where its bytes were not read)."""

    generation: int
    sha256: str


def copied_manifest(
    manifest: Manifest, source: Target, target: Target, here: Mapping[str, Here], origin: CopyOf
) -> Manifest:
    """The copy's manifest. here: each file by its name in the copy.

    It has no files of earlier exports (`left`, `found`), which are not the run's, and no Iceberg metadata, which has
    the addresses of the source.
    """

    def files(entry: TableEntry) -> tuple[File, ...]:
        names = renamed(manifest, entry, source, target)
        return tuple(
            replace(file, name=name, generation=here[name].generation, sha256=here[name].sha256)
            for file, name in zip(entry.files, names, strict=True)
        )

    tables = (
        replace(
            entry,
            files=files(entry),
            iceberg=(),
            carried=_carried(entry.carried),
            partitions=tuple(map(_partition, entry.partitions)),
        )
        for entry in manifest.tables
    )
    place = record_of(target) | {"iceberg": False}
    return replace(
        manifest,
        mode="keep",
        settings=copied_settings(manifest.settings) | place,
        tables=tuple(tables),
        left=(),
        found=(),
        copy_of=origin,
    )


def pointer_to(manifest: Manifest, name: str, generation: int) -> Latest:
    """The copy's latest.json. name, generation: of the manifest."""
    return Latest(
        run=manifest.run,
        number=manifest.number,
        dataset=manifest.dataset,
        project=manifest.project,
        snapshot_time=manifest.snapshot_time,
        snapshot=manifest.snapshot,
        status=manifest.status,
        mode=manifest.mode,
        manifest=name,
        manifest_generation=generation,
        over=manifest.over,
        carried=manifest.totals.carried,
        oldest_snapshot_time=manifest.oldest_snapshot_time,
    )


def _carried(carried: Carried | None) -> Carried | None:
    """Only the path differs from the manifest's settings: the place is the manifest's."""
    if carried is None:
        return None
    kept = {name: value for name, value in carried.settings.items() if name not in OF_THE_PLACE}
    return replace(carried, settings=copied_settings(kept))


def _partition(part: PartitionEntry) -> PartitionEntry:
    return replace(part, carried=_carried(part.carried))
