"""Validation of stored documents: others may change the objects of a bucket.

A document that names objects decides what is copied and deleted. So it may only name its own run and files below the
prefix, and none of bqdump's own documents.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from bqdump.core.documents.copying import ArrivedFiles, Copying, Renewed
from bqdump.core.documents.definitions import Definitions, check_dataset, check_routine, check_table
from bqdump.core.documents.document import STATE
from bqdump.core.documents.layout import Layout, among_documents, most_bytes
from bqdump.core.documents.manifest import Manifest, ManifestFiles, TableEntry, TableFiles
from bqdump.core.documents.path_template import Template, parse_template
from bqdump.core.documents.retention import Erasure, PrunedRun, RetainedFiles, Tags
from bqdump.core.documents.run import Failure, Plan, Receipt
from bqdump.core.documents.run_layout import RunLayout, unit_of
from bqdump.core.documents.target import IcebergTables, Intent, Latest, LogEntry, Pointer, Publishing
from bqdump.core.documents.units import Changed, GivenUp, SharedSession, shares_problem
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.formats.formats import FORMATS
from bqdump.core.formats.types import columns
from bqdump.core.times import rfc3339

BAD_PART = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f]")
CHANGED = "Modified outside bqdump: find out by whom, then start a new run with another run id."
LONGEST_NAME_BYTES = 1024
SET_DIGEST = re.compile(r"[0-9a-f]{16}")


class Place(Struct, frozen=True):
    """The place of a document: the target's names, and the run whose folder it is in ("" for none)."""

    layout: Layout
    run: str

    @property
    def own(self) -> RunLayout:
        """The names of the run."""
        return self.layout.run(self.run)


def place_of(name: str) -> Place | None:
    """The place of an object below `[prefix/]_bqdump/`, None for any other name."""
    prefix, state, rest = name.rpartition(f"{STATE}/")
    if not state or (prefix and not prefix.endswith("/")):
        return None
    parts = rest.split("/")
    return Place(Layout(prefix), parts[1] if parts[0] == "runs" and len(parts) > 2 else "")


def problem(document: object, name: str) -> str:
    """Why this document cannot be the one of that name; "" where it can."""
    check, place = CHECKS.get(type(document)), place_of(name)
    return check(document, place, name) if check and place else ""


def refuse_size(name: str, size: int) -> None:
    """Raise DocumentError for a document that is larger than any run writes, before it is loaded."""
    most = most_bytes(name)
    if most is not None and size > most:
        raise DocumentError("read", name, f"it is larger than {most:,} bytes", CHANGED)


def final_name_problem(name: str, layout: Layout) -> str:
    """Why an export cannot have a file of this name; "" where it can."""
    if not name.startswith(layout.prefix):
        return f"{name!r} is outside {layout.prefix}"
    if among_documents(name, layout):
        return f"{name!r} is one of bqdump's own documents"
    if BAD_PART.search(name[len(layout.prefix) :]):
        return f"{name!r} is not a valid file name"
    return f"a name of {len(name)} characters is too long" if len(name.encode()) > LONGEST_NAME_BYTES else ""


def _plan(plan: Plan, place: Place, _: str) -> str:
    if plan.run != place.run:
        return f"it is the plan of run {plan.run}"
    settings, path = plan.settings, str(plan.settings.get("path", ""))
    if (settings.get("project"), settings.get("dataset")) != (plan.project, plan.dataset):
        return f"its settings are for another dataset than {plan.project}.{plan.dataset}"
    if plan.mode != Template(path).mode or settings.get("prefix") != place.layout.prefix:
        return f"its settings do not match the mode {plan.mode} and its folder"
    if wrong := _settings_problem(settings):
        return wrong
    return _beside_problem(plan, place) or shares_problem(plan)


def _beside_problem(plan: Plan, place: Place) -> str:
    """Why a plan cannot have its units and definitions in these objects; "" where it can."""
    if plan.units != place.own.units(plan.nonce):
        return f"its units cannot be in {plan.units!r}"
    if plan.definitions not in ("", place.own.definitions(plan.nonce).name):
        return f"its definitions cannot be in {plan.definitions!r}"
    return ""


def _latest(latest: Latest, place: Place, name: str) -> str:
    if latest.of_set:
        return _latest_set(latest, place, name)
    if name.startswith(place.layout.pointers.folder):
        return "it is of one dataset, and the copies there are of a set of datasets"
    if wrong := _pointers_problem((latest, *latest.uncleared), place):
        return wrong
    if latest.iceberg not in ("", place.layout.run(latest.run).iceberg.name):
        return f"the Iceberg tables of run {latest.run} cannot be in {latest.iceberg!r}"
    return ""


def _latest_set(latest: Latest, place: Place, name: str) -> str:
    root = place.layout.set_run(latest.run).root
    digest = latest.manifest.removeprefix(root).removesuffix("/manifest.json")
    if not SET_DIGEST.fullmatch(digest) or latest.manifest != f"{root}{digest}/manifest.json" or latest.uncleared:
        return f"the manifest of run {latest.run} of the set cannot be {latest.manifest!r}"
    if name.startswith(place.layout.pointers.folder) and name != place.layout.set_pointer(latest.run, digest).name:
        return f"it is about run {latest.run}"
    return ""


def _entry(entry: LogEntry, place: Place, name: str) -> str:
    if name != place.layout.entry(entry.run, entry.snapshot).name:
        return f"it is about run {entry.run}"
    same = rfc3339(entry.snapshot) == entry.snapshot_time
    return "" if same else f"its snapshot time is {entry.snapshot_time[:50]!r}"


def _pointers_problem(pointers: Iterable[Latest | Pointer], place: Place) -> str:
    for pointer in pointers:
        if pointer.manifest != place.layout.run(pointer.run).manifest.name:
            return f"the manifest of run {pointer.run} cannot be {pointer.manifest!r}"
    return ""


def _iceberg(tables: IcebergTables, place: Place, _: str) -> str:
    if tables.run != place.run:
        return f"it is about run {tables.run}"
    for table, name in tables.tables.items():
        folder = f"{place.layout.iceberg_table(table)}metadata/"
        if BAD_PART.search(table) or name.rpartition("/")[0] + "/" != folder:
            return f"the metadata of table {table!r} cannot be {name!r}"
    for file in tables.rewritten:
        own = file.name.startswith(place.layout.iceberg) and f"-{tables.run}-" in file.name.rpartition("/")[2]
        if not own or BAD_PART.search(file.name[len(place.layout.iceberg) :]):
            return f"{file.name!r} is not metadata of run {tables.run}"
    return ""


def _publishing(publishing: Publishing, place: Place, name: str) -> str:
    if publishing.manifest != place.layout.run(publishing.run).intent.name:
        return f"the intent of run {publishing.run} cannot be {publishing.manifest!r}"
    if publishing.ready and publishing.ready.age != publishing.age:
        return f"run {publishing.run} cannot make latest.json name run {publishing.ready.run}"
    if wrong := _pointers_problem(publishing.over, place):
        return wrong
    return _latest(publishing.ready, place, name) if publishing.ready else ""


def _intent(intent: Intent, place: Place, _: str) -> str:
    return _of_run(intent.run, place) or _names(intent.names, place)


def _settings_problem(settings: Mapping[str, Any]) -> str:
    """Why these settings do not give names and formats of files; "" where they do."""
    for name in ("format", "compression", "prefix", "path"):
        if not isinstance(settings.get(name), str):
            return f"its settings have no {name}"
    try:
        parse_template(settings["path"])
    except UsageError as error:
        return f"its settings have no valid path: {error.cause}"
    return files_problem("", settings["format"], settings["compression"], msgspec.Raw(b"null"))


def files_problem(table: str, format_: str, compression: str, definition: msgspec.Raw) -> str:
    """Why a table's files cannot be as recorded; "" where they can."""
    if format_ and format_ not in FORMATS:
        return f"table {table[:100]!r} has the unknown format {format_[:50]!r}"
    codecs = [codec for known in FORMATS.values() for codec in known.codecs]
    if compression and compression not in codecs:
        return f"table {table[:100]!r} has the unknown compression {compression[:50]!r}"
    return _definition_problem(f"table {table[:100]!r}", definition, columns, check_table)


def _definition_problem(what: str, definition: msgspec.Raw, *checks: Callable[[msgspec.Raw], object]) -> str:
    try:
        for check in checks:
            check(definition)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return f"the definition of {what} is not BigQuery's"
    return ""


def _manifest(manifest: Manifest | ManifestFiles, place: Place, _: str) -> str:
    if isinstance(manifest, Manifest):
        if wrong := _settings_problem(manifest.settings):
            return wrong
        for entry in manifest.tables:
            if wrong := files_problem(entry.table, entry.format, entry.compression, entry.definition):
                return wrong
            if entry.partitions and sum(partition.files for partition in entry.partitions) != len(entry.files):
                return f"the files of table {entry.table[:100]!r} are not those of its partitions"
        if wrong := _definitions_problem(manifest.definitions):
            return wrong
    entries: tuple[TableEntry | TableFiles, ...] = (*manifest.tables, *manifest.left)
    names = [file.name for entry in entries for file in entry.files]
    if len(set(names)) != len(names):
        return "a file appears twice"
    for table in entries:
        folder = place.layout.iceberg_table(table.table)
        if strange := [file.name for file in table.iceberg if not file.name.startswith(folder)]:
            return f"{strange[0]!r} is no Iceberg metadata of table {table.table[:100]!r}"
    return _of_run(manifest.run, place) or _names([*names, *(file.name for file in manifest.found)], place)


def _definitions(definitions: Definitions, _: Place, __: str) -> str:
    return _definitions_problem(definitions)


def _definitions_problem(definitions: Definitions) -> str:
    """Why these cannot be a dataset's definitions; "" where they can."""
    for item in definitions.objects:
        if wrong := files_problem(item.name, "", "", item.definition):
            return wrong
    for routine in definitions.routines:
        if wrong := _definition_problem(f"routine {routine.name[:100]!r}", routine.definition, check_routine):
            return wrong
    return _definition_problem("the dataset", definitions.dataset, check_dataset)


def _session(session: SharedSession, _: Place, __: str) -> str:
    strange = [stream for stream in session.streams if not stream.startswith(f"{session.name}/")]
    return f"stream {strange[0]!r} does not belong to session {session.name!r}" if strange else ""


def _note(note: Receipt | Failure | Changed, _: Place, name: str) -> str:
    return "" if note.unit == unit_of(name) else f"it is about unit {note.unit}"


def _given_up(note: GivenUp, place: Place, name: str) -> str:
    return _note(note.failure, place, name)


def _erasure(erasure: Erasure, place: Place, _: str) -> str:
    lake = place.layout.iceberg
    files = [file.name for file in erasure.files if not file.name.startswith(lake)]
    copied = [*(file.name for file in erasure.copied), *(file.name for file in erasure.deleting)]
    return _names([*files, *copied], place)


def _named_after(note: PrunedRun | Tags, _: Place, name: str) -> str:
    return "" if name.endswith(f"/{note.run}.json") else f"it is about run {note.run}"


def _copying(copying: Copying, place: Place, _: str) -> str:
    return _of_run(copying.run, place) or _names(copying.names, place)


def _of_copy(arrived: ArrivedFiles | Renewed, place: Place, _: str) -> str:
    return _of_run(arrived.run, place)


def _of_run(run: str, place: Place) -> str:
    return "" if run == place.run else f"it is about run {run}"


def _names(names: Iterable[str], place: Place) -> str:
    return next((wrong for name in names if (wrong := final_name_problem(name, place.layout))), "")


CHECKS: dict[type, Callable[[Any, Place, str], str]] = {
    Plan: _plan,
    Latest: _latest,
    LogEntry: _entry,
    IcebergTables: _iceberg,
    Publishing: _publishing,
    Intent: _intent,
    Manifest: _manifest,
    ManifestFiles: _manifest,
    RetainedFiles: _manifest,
    Copying: _copying,
    ArrivedFiles: _of_copy,
    Renewed: _of_copy,
    Erasure: _erasure,
    PrunedRun: _named_after,
    Tags: _named_after,
    Definitions: _definitions,
    SharedSession: _session,
    Receipt: _note,
    Failure: _note,
    GivenUp: _given_up,
    Changed: _note,
}
