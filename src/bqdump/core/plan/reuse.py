"""Which tables need not be exported again: the files of the published export are those of an unchanged table.

Three looks must be equal: one from before the time at which the files were read, one from after it, and that of this
plan. Between equal looks the table did not change, so the files hold what it has at this plan's snapshot time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from bqdump.core.documents.fingerprints import way
from bqdump.core.documents.manifest import File
from bqdump.core.documents.unchanged import Look, Reused, ReusedPartitions
from bqdump.core.plan.looks import difference
from bqdump.core.plan.published import Had, Published
from bqdump.core.plan.routes import Routed
from bqdump.core.risks import HIDING
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.tables.repeatable import varying
from bqdump.core.version import VERSION

NOTHING_PUBLISHED = "nothing is published yet"
NOT_PUBLISHED = "not in the published export"
FIRST_LOOK_MISSING = "no reading from before its last export"
# Other settings that files depend on, by name.
OF_FILES = ("path", "prefix", "kms_key")


class Seen(NamedTuple):
    """A table, or a partition of one, as a plan would export it. obstacle: why looks at it prove nothing, else ""."""

    routed: Routed
    look: Look | None
    obstacle: str = ""


class Reuse(NamedTuple):
    """A table that did not change, and the published entry whose files hold it."""

    reused: Reused
    files: tuple[File, ...]


def decide(
    published: Published | None, seen: Iterable[Seen], settings: Settings, snapshot: int
) -> tuple[dict[str, Reuse], dict[str, str]]:
    """The tables whose files may be named again, and for each other one why it is exported; both by table.

    published: the export of the same dataset that is older than the plan. snapshot: the plan's snapshot time (ms).
    Whether the files still exist is up to the caller.
    """
    had = {entry.table: entry for entry in published.tables} if published else {}
    reuse: dict[str, Reuse] = {}
    reasons: dict[str, str] = {}
    frozen = settings.frozen()
    for fingerprint in seen:
        table = fingerprint.routed.table
        before = had.get(table.name)
        if published is None or before is None:
            left = published and any(item.table == table.name for item in published.left)
            absent = "its last export failed" if left else NOT_PUBLISHED if published else NOTHING_PUBLISHED
            reasons[table.name] = fingerprint.obstacle or absent
        elif reason := why_exported(published, before, fingerprint, frozen, settings.full_after, snapshot):
            reasons[table.name] = reason
        else:
            reuse[table.name] = reuse_of(published, before, table.rows, table.bytes)
    return reuse, reasons


def reuse_of(published: Published, had: Had, rows: int, bytes_: int) -> Reuse:
    """The files of a table of the published export, named again."""
    of, files, partitions = published.origin(had), len(had.files), len(had.partitions)
    return Reuse(Reused(had.table, *of, rows, bytes_, files, partitions), had.files)


def why_exported(
    published: Published, had: Had, seen: Seen, settings: Mapping[str, Any], full_every: int, snapshot: int
) -> str:
    """Why a table is exported, in a few words; "" where the published files hold what it has at `snapshot` (ms).

    settings: those of the plan. full_every: in seconds, 0 for never.
    """
    if seen.obstacle:
        return seen.obstacle
    if reason := varying(seen.routed.shape) or varying(had.shape):
        return reason
    if had.read_at != "snapshot" or seen.routed.read_at != "snapshot":
        return "it was read when its job ran"
    if reason := settings_differ(published, had, seen.routed, settings):
        return reason
    if any(flag.table == had.table and flag.risk in HIDING for flag in published.flags):
        return "its last export had restrictions"
    if reason := unproved(had, seen.look):
        return reason
    if seen.look and not had.shape.where and had.rows not in (None, seen.look.rows):
        # Rows that were inserted and deleted again leave no other trace.
        return f"its files have {counted(had.rows or 0, 'row')}, and the table {seen.look.rows:,}"
    age = snapshot - published.origin(had)[1]
    return f"older than {period(full_every)}" if full_every and age >= full_every * 1000 else ""


def unproved(had: Had, now: Look | None) -> str:
    """Why looks do not prove that a published table is unchanged; "" where they do. now: the look of this plan."""
    if now is None or had.look is None:
        return FIRST_LOOK_MISSING
    if changed := difference(had.look, now):
        return changed
    if had.carried and had.carried.unchanged_at:
        return ""
    if had.look_before is None:
        return FIRST_LOOK_MISSING
    changed = difference(had.look_before, had.look)
    return f"{changed} (around its last export)" if changed else ""


def look_before(had: Had | None, snapshot: int, *, chosen: bool) -> Look | None:
    """The look at a published table if it was taken before `snapshot` (ms), the time at which a plan reads it again.

    chosen: the user chose the snapshot time. Otherwise it was taken after the published manifest was read.
    """
    look = had.look if had else None
    return None if look and chosen and not 0 < look.by <= snapshot else look


def settings_differ(published: Published, had: Had, routed: Routed, settings: Mapping[str, Any]) -> str:
    """Which settings differ from those with which a table was exported; "" for none. settings: those of the plan."""
    theirs = published.settings_of(had)
    tool = had.carried.tool if had.carried else published.tool
    was = way(had.route, had.format, had.compression, had.shape, theirs, tool)
    now = way(routed.route, routed.format, routed.compression, routed.shape, settings, VERSION)
    differ = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    differ += [name for name in OF_FILES if theirs.get(name) != settings.get(name)]
    if settings.get("iceberg") and not theirs.get("iceberg"):
        # Its files have no field ids.
        differ.append("iceberg")
    if had.kind != routed.table.kind:
        differ.insert(0, "kind")
    return f"settings differ: {', '.join(name.replace('_', ' ') for name in differ)}" if differ else ""


def period(seconds: int) -> str:
    """A number of seconds as the setting writes it: 30d, 12h."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def bytes_saved(reused: Sequence[Reused | ReusedPartitions]) -> int:
    """The bytes of these tables and partitions, by BigQuery's count, that are not exported again."""
    return sum(table.bytes for table in reused)
