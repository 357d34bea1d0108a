"""The access entries of an exported dataset, and what a restore grants of them to the target.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset (access)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec

from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import UsageError
from bqdump.core.restore.names import Move, Moves
from bqdump.core.restore.plan import ACCESS, NotRestored, ObjectStep, Options, TableStep

Entry = dict[str, Any]
# How BigQuery returns roles that have an older name.
OLDER = {
    "roles/bigquery.dataOwner": "OWNER",
    "roles/bigquery.dataEditor": "WRITER",
    "roles/bigquery.dataViewer": "READER",
}
# What a member is called, by the property that names it. Upper and lower case are the same.
MEMBERS = {"userByEmail": "user ", "groupByEmail": "group ", "domain": "domain "}
# What an authorized view, routine or dataset is called, by the property that names it.
AUTHORIZED = {"view": "tableId", "routine": "routineId", "dataset": ""}
OF_A_PROJECT = ("projectOwners", "projectWriters", "projectReaders")
UNREQUESTED = "access entries are restored on request only"
NOT_THERE = "it is not restored"


class Entries(msgspec.Struct, frozen=True):
    """steps: the entries that are granted, one each.
    left: those that are not, and why.
    """

    steps: tuple[ObjectStep, ...]
    left: tuple[NotRestored, ...]


def access_entries(
    manifest: Manifest, options: Options, moves: Moves, present: Collection[str], tables: Sequence[TableStep]
) -> Entries:
    """What is granted of the exported dataset's entries. present: the views and routines that the target then has.

    Raises UsageError where access would show rows that a row access policy hides in the source.
    """
    if not options.with_access:
        return Entries((), ())
    _refuse_without_policies(manifest, options, {step.entry.table for step in tables})
    steps, left = list[ObjectStep](), list[NotRestored]()
    for entry in _recorded(manifest):
        name, granted = _entry_name(entry), _mapped(entry, moves)
        if reason := _obstacle(entry, granted, moves, present):
            left.append(NotRestored(name, ACCESS, reason))
        else:
            body = msgspec.Raw(msgspec.json.encode(granted))
            steps.append(ObjectStep(name=_entry_name(granted), kind=ACCESS, action="grant", definition=body))
    return Entries(tuple(steps), tuple(left))


def has_access_entries(manifest: Manifest) -> bool:
    """Whether the manifest has access entries."""
    return bool(_recorded(manifest))


def merged(present: Sequence[Entry], added: Sequence[Entry]) -> list[Entry] | None:
    """The entries of a dataset with further ones; None if it has all of them."""
    known = {_key(entry) for entry in present}
    missing = {_key(entry): entry for entry in added if _key(entry) not in known}
    return [*present, *missing.values()] if missing else None


def _recorded(manifest: Manifest) -> list[Entry]:
    resource = msgspec.json.decode(manifest.definitions.dataset) or {}
    return list(resource.get("access") or ())


def _refuse_without_policies(manifest: Manifest, options: Options, restored: Collection[str]) -> None:
    for policy in manifest.definitions.policies:
        if policy.table not in restored or (options.with_policies and policy.grantees is not None):
            continue
        cause = f"table {policy.table} has row access policies, and without them all readers would read all rows"
        hint = "Add {setting:with_policies=True}, or exclude the table."
        if policy.grantees is None:
            cause = f"table {policy.table} has row access policies whose members are not in the export"
            hint = "Without them all readers would read all rows. Exclude the table."
        raise UsageError("restore", "", cause, hint, setting="with_access")


def _mapped(entry: Entry, moves: Moves) -> Entry:
    """An entry with the targets in place of the datasets that move."""
    changed = dict(entry)
    for kind in AUTHORIZED:
        if move := _move_of(entry, kind, moves):
            place = {"projectId": move.target.project, "datasetId": move.target.name}
            changed[kind] = {**entry[kind], "dataset": place} if kind == "dataset" else {**entry[kind], **place}
            if kind == "view" and (called := moves.table(move, entry[kind].get("tableId", ""))):
                changed[kind]["tableId"] = called
    return changed


def _obstacle(entry: Entry, granted: Entry, moves: Moves, present: Collection[str]) -> str:
    """Why an entry is not granted, or ""."""
    source, into = moves.own
    in_place = (source.project, source.name) == (into.project, into.name)
    for kind, id_ in AUTHORIZED.items():
        if _reference(entry, kind):
            move = _move_of(entry, kind, moves)
            if move is None:
                return "" if in_place else f"it refers to {source.project}.{source.name}, not to the target"
            # What another dataset then has is known when it is granted.
            return "" if kind == "dataset" or move != moves.own or granted[kind][id_] in present else NOT_THERE
    if entry.get("specialGroup") in OF_A_PROJECT and source.project != into.project:
        return "in another project, this is another group"
    if str(entry.get("iamMember", "")).startswith("deleted:"):
        return "the account was deleted"
    return ""


def _move_of(entry: Entry, kind: str, moves: Moves) -> Move | None:
    """The move of the dataset that holds what an entry authorizes."""
    named = _reference(entry, kind)
    return moves.of(named["projectId"], named["datasetId"]) if {"projectId", "datasetId"} <= named.keys() else None


def _reference(entry: Entry, kind: str) -> Entry:
    """What an entry authorizes as a view, routine or dataset, {} if nothing."""
    authorized = entry.get(kind) or {}
    reference: Entry = (authorized.get("dataset") or {}) if kind == "dataset" else authorized
    return reference


def _key(entry: Entry) -> bytes:
    """The same for entries that mean the same."""
    return msgspec.json.encode(dict(_normal(entry)), order="deterministic")


def _normal(entry: Entry) -> Iterator[tuple[str, Any]]:
    for name, value in entry.items():
        if name == "role":
            yield name, OLDER.get(value, value)
        elif value is not None:
            yield name, value.lower() if name in MEMBERS and isinstance(value, str) else value


def _entry_name(entry: Entry) -> str:
    """What an entry is called, such as `READER for group eu@example.com`."""
    for kind, id_ in AUTHORIZED.items():
        if named := _reference(entry, kind):
            parts = (named.get("projectId", ""), named.get("datasetId", ""), *([named.get(id_, "")] if id_ else ()))
            return f"authorized {kind} {'.'.join(parts)}"
    members = (f"{MEMBERS.get(key, '')}{value}" for key, value in entry.items() if key not in ("role", "condition"))
    name = f"{entry.get('role', '')} for {next(members, '')}"
    condition = entry.get("condition") or {}
    return f"{name} if {condition.get('title') or condition.get('expression')}" if condition else name
