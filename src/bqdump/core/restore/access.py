"""The access entries of an exported dataset, and what a restore grants of them to the target.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset (access)

From the resource of a dataset to the requests that create one like it.

Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/datasets#Dataset

A restore that is not to last: everything that it creates expires, even if it is never dropped.

A dataset's default table expiration concerns its tables and views; without a default partition expiration also
partitioned tables, of which no single partition expires: https://cloud.google.com/bigquery/docs/updating-datasets
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import UsageError
from bqdump.core.restore.names import Move, Moves
from bqdump.core.restore.plan import ACCESS, NotRestored, ObjectStep, Options, RestorePlan, TableStep

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
    """steps: the entries that are granted, one each. left: those that are not, and why."""

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
        hint = "Add {setting:with_policies}, or exclude the table."
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


# What BigQuery computes, and the name, which the request has in its address.
OUTPUT_ONLY = (
    *("kind", "etag", "id", "selfLink", "type", "datasetReference", "creationTime", "lastModifiedTime", "satisfiesPzi"),
    *("satisfiesPzs", "tags", "linkedDatasetSource", "linkedDatasetMetadata", "externalDatasetReference"),
    *("restrictions", "catalogSource"),
)
# Set last: tables that are created under them would expire.
EXPIRATIONS = ("defaultTableExpirationMs", "defaultPartitionExpirationMs")


class DatasetRequests(NamedTuple):
    """create: for datasets.insert. finish: for datasets.patch after everything else, JSON null if there is nothing."""

    create: msgspec.Raw
    finish: msgspec.Raw


def dataset_requests(resource: msgspec.Raw, location: str) -> DatasetRequests:
    """The requests that create a dataset like this one (JSON null: one with defaults) in a location.

    Without its access entries, which are granted on request (see access): BigQuery gives a new dataset those of its
    project.
    """
    properties: dict[str, Any] = msgspec.json.decode(resource) or {}
    left_out = {*OUTPUT_ONLY, *EXPIRATIONS, "access"}
    create = {key: value for key, value in properties.items() if key not in left_out} | {"location": location}
    finish = {key: properties[key] for key in EXPIRATIONS if properties.get(key)}
    return DatasetRequests(_raw(create), _raw(finish) if finish else NOTHING)


def _raw(body: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(body))


# Longer than the slowest drill: tables must not expire while they are compared.
LIFETIME_MS = 3 * 24 * 60 * 60 * 1000
# The label of the dataset.
LABEL = "bqdump_drill"


def temporary(plan: RestorePlan) -> RestorePlan:
    """The same plan into a new dataset whose tables expire after LIFETIME_MS, and not by any property of their own."""
    properties = msgspec.json.decode(plan.create_dataset)
    labels = {**properties.get("labels", {}), LABEL: "true"}
    dataset = properties | {"labels": labels, "defaultTableExpirationMs": str(LIFETIME_MS)}
    return msgspec.structs.replace(
        plan,
        create_dataset=_raw(dataset),
        finish_dataset=NOTHING,
        tables=tuple(map(_table, plan.tables)),
        objects=tuple(map(_object, plan.objects)),
    )


def _table(step: TableStep) -> TableStep:
    return msgspec.structs.replace(step, lasting=NOTHING, expire=NOTHING, expired_rows="")


def _object(step: ObjectStep) -> ObjectStep:
    finish = msgspec.json.decode(step.finish) or {}
    finish.pop("expirationTime", None)
    return msgspec.structs.replace(step, finish=_raw(finish) if finish else NOTHING)
