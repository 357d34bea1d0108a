"""Views and routines that read a table which was erased from the run: they could not be created, and are left out."""

from __future__ import annotations

from typing import Any

import msgspec

from bqdump.core.documents.definitions import ObjectDefinition, RoutineDefinition
from bqdump.core.documents.manifest import Manifest
from bqdump.core.restore.chosen import Chosen
from bqdump.core.restore.names import Moves
from bqdump.core.restore.objects import QUERIES, is_sql
from bqdump.core.restore.plan import ROUTINE, NotRestored, TargetState
from bqdump.core.restore.references import mapped
from bqdump.core.tables.catalog import Dataset


def without_readers(chosen: Chosen, manifest: Manifest, target: TargetState | None) -> Chosen:
    """What is chosen, apart from what reads a table that was erased and is not in the target, or reads such a view."""
    there = set(target.tables) if target else set()
    gone = {note.table: note.table for note in manifest.erased if note.table not in there}
    if not gone:
        return chosen
    objects = {object_.name: (object_.kind, _reads(object_, manifest)) for object_ in chosen.objects}
    objects |= {routine.name: (ROUTINE, _calls(routine, manifest)) for routine in chosen.routines}
    lost: list[NotRestored] = []
    while left := {name: found for name, found in objects.items() if found[1].intersection(gone)}:
        for name, (kind, reads) in left.items():
            table = gone[min(reads.intersection(gone))]
            lost.append(NotRestored(name, kind, f"it reads table {table}, which was erased from the run"))
            gone[name] = table
            del objects[name]
    return chosen._replace(
        objects=tuple(object_ for object_ in chosen.objects if object_.name in objects),
        routines=tuple(routine for routine in chosen.routines if routine.name in objects),
        lost=(*chosen.lost, *lost),
    )


def _reads(object_: ObjectDefinition, manifest: Manifest) -> set[str]:
    """What a view reads of the exported dataset. Of one in legacy SQL, nothing is known."""
    body: dict[str, Any] = msgspec.json.decode(object_.definition) or {}
    view = body.get(QUERIES.get(object_.kind, "")) or {}
    return set() if view.get("useLegacySql") else _named(view.get("query") or "", manifest)


def _calls(routine: RoutineDefinition, manifest: Manifest) -> set[str]:
    """What a routine names of the exported dataset. A procedure is created although it names what does not exist."""
    body: dict[str, Any] = msgspec.json.decode(routine.definition) or {}
    if routine.kind == "PROCEDURE" or not is_sql(body):
        return set()
    return _named(body.get("definitionBody") or "", manifest)


def _named(text: str, manifest: Manifest) -> set[str]:
    source = Dataset(manifest.project, manifest.dataset, manifest.location)
    own = (manifest.dataset, f"{manifest.project}.{manifest.dataset}")
    paths = (path.rpartition(".") for path in mapped(text, Moves(source, source), keep=True).stays)
    return {name for dataset, _, name in paths if dataset in own}
