"""What the plan of a restore follows from: the manifest, its files, and what the target holds. Nothing is decided.

Which other restores write to the same tables, by their documents.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from bqdump.check.findings import Finding
from bqdump.check.verify import FilesCompared, compare_files
from bqdump.concurrency import gathered
from bqdump.core.documents.definitions import NOTHING
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import DocumentError, NotFoundError, UsageError, VerificationError
from bqdump.core.restore.actions import unfinished
from bqdump.core.restore.chosen import choose, partitions_in_target, tables_in_target
from bqdump.core.restore.documents import Decision, Restores
from bqdump.core.restore.partitions import layout_of
from bqdump.core.restore.plan import PLAN, TABLE, Options, TargetState
from bqdump.core.restore.table_requests import expirations_of
from bqdump.core.tables.catalog import Dataset, ignores_case, spellings
from bqdump.repository.complete_runs import uncover_run
from bqdump.repository.manifests import load_manifest, published_run
from bqdump.repository.repository import exists, value_of
from bqdump.restoration.ledger import read_ledger
from bqdump.restoration.task import Task

# Requests for definitions.
AT_ONCE = 16
# Defaults of a dataset that would delete what is restored into it.
EXPIRATIONS = ("defaultTableExpirationMs", "defaultPartitionExpirationMs")


class FoundManifest(NamedTuple):
    """The manifest of a run, the object that holds it, and its generation."""

    manifest: Manifest
    name: str
    generation: int


class Survey(NamedTuple):
    """What the plan of a restore follows from, besides its options.

    manifest: with the files as they are now.
    pinned: load jobs read these files themselves, at the generations that the manifest has.
    state: of the target, None if it does not exist.
    now: ms since 1970 UTC.
    """

    manifest: Manifest
    state: TargetState | None
    now: int
    findings: list[Finding]
    pinned: bool


async def find_manifest(task: Task) -> FoundManifest:
    """The manifest of the requested run. Raises NotFoundError."""
    if run := task.request.run:
        await uncover_run(task.store, task.settings, run)
    else:
        run = await published_run(task.store, task.settings)
    stored = await load_manifest(task.store, task.settings, run)
    return FoundManifest(stored.value, task.settings.layout.run(run).manifest.name, stored.generation)


async def survey(task: Task, manifest: Manifest) -> Survey:
    """Ask about the target and the files of a run."""
    options = task.request.options
    state = await target_state(task, options)
    state = await _with_spellings(task, manifest, state) if state and state.ignores_case else state
    state = await _with_tables(task, manifest, state) if state else None
    location = state.location if state else manifest.location
    # Without a dataset nothing is created, and the clock of this machine is good enough.
    now = await task.destination.now(location) if options.dataset else int(time.time() * 1000)
    compared = await compare_files(task.store, task.settings, manifest, task.tell)
    return Survey(compared.manifest, state, now, compared.findings, is_pinned(task, compared))


def is_pinned(task: Task, compared: FilesCompared) -> bool:
    """Whether load jobs read the files of the manifest themselves, at the generations that it has."""
    return not (compared.copied or task.uploads_files)


async def target_state(task: Task, options: Options) -> TargetState | None:
    """What the target dataset holds now; None if it does not exist, or none is named."""
    if not options.dataset:
        return None
    resource = await task.destination.find_dataset(options.project, options.dataset)
    if resource is None:
        return None
    properties = msgspec.json.decode(resource)
    called = (properties.get("datasetReference") or {}).get("datasetId", options.dataset)
    if called != options.dataset:
        # Under two names it could be the source, or the target of two datasets, and nothing would show it.
        cause = f"this is dataset {called}, which ignores case in names (isCaseInsensitive)"
        raise UsageError(PLAN, f"{options.project}.{options.dataset}", cause, f"Write its name so: {called}.")
    dataset = Dataset(options.project, options.dataset, properties["location"])
    present = await task.destination.present(dataset)
    routines = await task.destination.routines(dataset)
    expires = any(properties.get(name) for name in EXPIRATIONS)
    return TargetState(
        dataset.location,
        {object_.name: (object_.kind, object_.labels) for object_ in present},
        frozenset(routines),
        expires,
        ignores_case=ignores_case(resource),
    )


async def _with_spellings(task: Task, manifest: Manifest, state: TargetState) -> TargetState:
    """The state of a target that ignores case, with the names there of tables that are requested in another case.

    BigQuery is asked for each of them, since which letters it compares without case is not documented.
    """
    options = task.request.options
    names = {
        *tables_in_target(manifest, options, None).values(),
        *(one.name for one in choose(manifest, options).objects),
    }
    others = {name: spellings(name, state.tables) for name in sorted(names - state.tables.keys())}
    found = await _definitions(task, state, [name for name, there in others.items() if there])
    spelled = {}
    for name, definition in found.items():
        called = (msgspec.json.decode(definition).get("tableReference") or {}).get("tableId")
        spelled[name] = called if called in state.tables else others[name][0]
    return state._replace(spelled=spelled)


async def _with_tables(task: Task, manifest: Manifest, state: TargetState) -> TargetState:
    """The state of a target with what a restore has to know of the tables that get other rows."""
    options, definitions = task.request.options, dict[str, msgspec.Raw]()
    if options.data_only or options.partitions:
        names = [name for name in tables_in_target(manifest, options, state).values() if name in state.tables]
        definitions = await _definitions(task, state, names)
        state = state._replace(definitions=definitions)
    elif replaced := set(state.tables) if options.replace else set(unfinished(state)):
        tables = {name for name in replaced if state.tables[name][0] == TABLE}
        renamed = tables_in_target(manifest, options, state) if options.as_ else {}
        each = dict.fromkeys(renamed.get(entry.table, state.spelling(entry.table)) for entry in manifest.tables)
        definitions = await _definitions(task, state, [name for name in each if name in tables])
        state = state._replace(layouts={name: layout_of(definition) for name, definition in definitions.items()})
    if options.partitions:
        state = state._replace(rows=await _rows(task, manifest, state))
    if not (options.data_only or options.replace or options.partitions):
        return state
    kept = {name: expirations_of(definition) for name, definition in definitions.items()}
    return state._replace(
        policies=await _policies(task, manifest, state),
        expirations={name: expirations for name, expirations in kept.items() if expirations != NOTHING},
    )


async def _rows(task: Task, manifest: Manifest, state: TargetState) -> dict[str, dict[str, int]]:
    """The rows of the partitions that are restored into tables that exist, by table and id."""
    options = task.request.options
    dataset = Dataset(options.project, options.dataset, state.location)
    pairs = [(name, id_) for name, ids in partitions_in_target(manifest, options, state).items() for id_ in ids]
    partitions = await gathered(lambda pair: task.destination.table(dataset, f"{pair[0]}${pair[1]}"), pairs, AT_ONCE)
    rows: dict[str, dict[str, int]] = {}
    for (name, id_), table in zip(pairs, partitions, strict=True):
        rows.setdefault(name, {})[id_] = table.rows if table else 0
    return rows


async def _definitions(task: Task, state: TargetState, names: Sequence[str]) -> dict[str, msgspec.Raw]:
    """The definitions of tables of the target."""
    dataset = Dataset(task.request.options.project, task.request.options.dataset, state.location)
    tables = await gathered(lambda name: task.destination.table(dataset, name), names, AT_ONCE)
    return {name: table.definition for name, table in zip(names, tables, strict=True) if table}


async def _policies(task: Task, manifest: Manifest, state: TargetState) -> dict[str, dict[str, bool] | None]:
    """The row access policies of the tables whose rows may be replaced: of each, whether a restore has created it."""
    options = task.request.options
    dataset = Dataset(options.project, options.dataset, state.location)
    restored = tables_in_target(manifest, options, state).values()
    names = [name for name in restored if state.tables.get(name, ("",))[0] == TABLE]
    listed = await gathered(lambda name: task.destination.row_policies(dataset, name), names, AT_ONCE)
    by_table = dict(zip(names, listed, strict=True))
    created = (
        await _created_policies(task)
        if any(by_table.values()) and not (options.data_only or options.partitions)
        else set[tuple[str, str]]()
    )
    return {
        name: None if policies is None else {policy.name: (name, policy.name) in created for policy in policies}
        for name, policies in by_table.items()
        if policies is None or policies
    }


async def _created_policies(task: Task) -> set[tuple[str, str]]:
    """Table and name of the row access policies that restores into the same dataset have created."""
    options, names = task.request.options, Restores(task.layout)
    created = set[tuple[str, str]]()
    for restore in await task.state.folders(names.restores):
        # What a damaged document names counts as not known, and so is not removed.
        with suppress(DocumentError):
            decision = await value_of(task.state, names.restore(restore).plan)
            if decision and (decision.target.project, decision.target.name) == (options.project, options.dataset):
                receipts = (await read_ledger(task.state, names.of(decision))).receipts.values()
                created |= {(receipt.table, receipt.name) for receipt in receipts if receipt.table}
    return created


class Rival(NamedTuple):
    """Another restore of the same tables of a target, of which one replaces tables, or the later one finishes them.

    tables: their names.
    """

    decision: Decision
    tables: frozenset[str]


def is_after(other: Decision, own: Decision) -> bool:
    """Whether the other restore was begun later, as both of them see it."""
    return (other.planned, other.mark) > (own.planned, own.mark)


async def find_rivals(
    task: Task, own: Decision, manifest: Manifest, known: dict[str, frozenset[str]] | None = None
) -> list[Rival]:
    """The rivals of a restore: unfinished ones, and whichever were begun later.

    Restores are only known by documents in the same place. known: the tables of each restore, by its id; none if it is
    no rival, and will not become one.
    """
    known = {} if known is None else known
    names = Restores(task.layout)
    mine = frozenset(tables_in_target(manifest, own.options, own.state).values())

    async def rival(restore: str) -> Rival | None:
        decision = None
        with suppress(DocumentError):
            decision = await value_of(task.state, names.restore(restore).plan)
        if decision is None:
            return None
        ended = not is_after(decision, own) and await exists(task.state, names.of(decision).result)
        contested = frozenset() if ended else _contested(decision, own, mine)
        if not contested:
            known[restore] = contested
        elif restore not in known:
            known[restore] = await _common_tables(task, decision, own, contested)
        return Rival(decision, known[restore]) if known[restore] else None

    others = [restore for restore in await task.state.folders(names.restores) if restore != own.restore]
    open_ = [restore for restore in others if known.get(restore) != frozenset()]
    return [found for found in await gathered(rival, open_, AT_ONCE) if found]


def _contested(other: Decision, own: Decision, mine: frozenset[str]) -> frozenset[str]:
    """Of these tables, those that another restore has to leave alone, or to finish, if it writes to them as well."""
    if (other.target.project, other.target.name) != (own.target.project, own.target.name):
        return frozenset()
    if own.options.replace or other.options.replace:
        return mine
    if not is_after(other, own):
        return frozenset()
    # A restore that is begun later takes over what it finds unfinished.
    return mine.intersection(name for name, restore in unfinished(other.state).items() if restore == own.restore)


async def _common_tables(task: Task, other: Decision, own: Decision, mine: frozenset[str]) -> frozenset[str]:
    """Those of these tables that another restore writes to: all where its manifest is no longer there."""
    try:
        stored = await load_manifest(task.store, task.settings, other.run)
    except (NotFoundError, DocumentError, VerificationError):
        return mine
    if stored.generation != other.generation:
        return mine
    theirs = frozenset(tables_in_target(stored.value, other.options, other.state).values())
    if any(decision.state and decision.state.ignores_case for decision in (own, other)):
        return frozenset(name for name in mine if spellings(name, theirs))
    return mine & theirs
