"""What a restore would do, from the manifest and what the target holds. Nothing is written."""

from __future__ import annotations

import logging
import time
from collections.abc import Set
from typing import NamedTuple

import msgspec

from bqdump.check.findings import Finding, FindingKind
from bqdump.check.verify import compare_files
from bqdump.concurrency import gathered
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import DeniedError, UsageError, VerificationError
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.restore.contents import PLAN
from bqdump.core.restore.draft import restore_plan, tables_in_target
from bqdump.core.restore.partitions import layout_of
from bqdump.core.restore.plan import TABLE, Options, RestorePlan, TargetState
from bqdump.core.restore.selection import unfinished
from bqdump.core.sizes import named
from bqdump.core.tables.catalog import Dataset
from bqdump.repository.manifests import load_manifest, published_run
from bqdump.repository.published import read_replacing
from bqdump.restoration.task import Task

log = logging.getLogger(__name__)

RESTORE = "restore"
NAMED = 3
# Requests for definitions.
AT_ONCE = 16
# Defaults of a dataset that would delete what is restored into it.
EXPIRATIONS = ("defaultTableExpirationMs", "defaultPartitionExpirationMs")


class Found(NamedTuple):
    """The manifest of a run, the object that holds it, and its generation."""

    manifest: Manifest
    name: str
    generation: int


class Draft(NamedTuple):
    """What a restore would do, before anything is written. state, now: what it follows from, besides the manifest."""

    found: Found
    state: TargetState | None
    now: int
    plan: RestorePlan


async def draft(task: Task) -> Draft:
    """What a restore would do. Nothing is written. Raises like obtain_restore."""
    found = await find_manifest(task)
    options = task.request.options
    _refuse_source(options, found.manifest, yes=task.request.yes)
    state = await target_state(task, options)
    if state and options.data_only:
        state = state._replace(definitions=await _definitions(task, found.manifest, state))
    elif state and (replaced := set(state.tables) if options.replace else set(unfinished(state))):
        state = state._replace(layouts=await _layouts(task, found.manifest, state, replaced))
    location = state.location if state else found.manifest.location
    # Without a dataset nothing is created, and the clock of this machine is good enough.
    now = await task.destination.now(location) if options.dataset else int(time.time() * 1000)
    compared = await compare_files(task.store, task.settings, found.manifest, task.tell)
    plan = restore_plan(compared.manifest, options, state, now)
    await _refuse_policies(task, plan, location)
    await _refuse_changed_files(task, plan, compared.findings)
    await _note_location(task, plan)
    return Draft(found._replace(manifest=compared.manifest), state, now, plan)


async def target_state(task: Task, options: Options) -> TargetState | None:
    """What the target dataset holds now; None if it does not exist, or none is named."""
    if not options.dataset:
        return None
    resource = await task.destination.find_dataset(options.project, options.dataset)
    if resource is None:
        return None
    properties = msgspec.json.decode(resource)
    dataset = Dataset(options.project, options.dataset, properties["location"])
    present = await task.destination.present(dataset)
    routines = await task.destination.routines(dataset)
    expires = any(properties.get(name) for name in EXPIRATIONS)
    return TargetState(
        dataset.location,
        {object_.name: (object_.kind, object_.labels) for object_ in present},
        frozenset(routines),
        expires,
    )


async def _layouts(task: Task, manifest: Manifest, state: TargetState, replaced: Set[str]) -> dict[str, str]:
    """The layouts of the tables of the target that are replaced by those of the manifest."""
    options = task.request.options
    dataset = Dataset(options.project, options.dataset, state.location)
    there = {name for name in replaced if state.tables[name][0] == TABLE}
    others = tables_in_target(manifest, options) if options.as_ else {}
    found = (others.get(entry.table, entry.table) for entry in manifest.tables)
    names = [name for name in dict.fromkeys(found) if name in there]
    tables = await gathered(lambda name: task.destination.table(dataset, name), names, AT_ONCE)
    return {name: layout_of(table.definition) for name, table in zip(names, tables, strict=True) if table}


async def _definitions(task: Task, manifest: Manifest, state: TargetState) -> dict[str, msgspec.Raw]:
    """The definitions of the tables of the target that get the rows of the export."""
    options = task.request.options
    dataset = Dataset(options.project, options.dataset, state.location)
    names = [name for name in tables_in_target(manifest, options).values() if name in state.tables]
    tables = await gathered(lambda name: task.destination.table(dataset, name), names, AT_ONCE)
    return {name: table.definition for name, table in zip(names, tables, strict=True) if table}


async def _refuse_policies(task: Task, plan: RestorePlan, location: str) -> None:
    """Raise UsageError where rows alone would remove row access policies, as a copy job does with its destination's.

    https://cloud.google.com/bigquery/docs/using-row-level-security-with-features#copy_jobs
    """
    options = task.request.options
    if not options.data_only:
        return
    dataset = Dataset(options.project, options.dataset, location)
    names = [step.name for step in plan.tables if step.action in ("replace", "fill")]
    policies = await gathered(lambda name: task.destination.row_policies(dataset, name), names, AT_ONCE)
    lost = [f"{policy.name} of {name}" for name, found in zip(names, policies, strict=True) for policy in found or ()]
    if lost:
        cause = f"row access policies would be removed: {named(lost, NAMED)}"
        hint = "Restore next to the table with {setting:as_}, or drop them first and create them again afterwards."
        raise UsageError(PLAN, f"{dataset.project}.{dataset.name}", cause, hint, setting="data_only")


async def find_manifest(task: Task) -> Found:
    """The manifest of the requested run. Raises NotFoundError."""
    run = task.request.run or await published_run(task.store, task.settings)
    stored = await load_manifest(task.store, task.settings, run)
    return Found(stored.value, task.settings.layout.run(run).manifest.name, stored.generation)


def _refuse_source(options: Options, manifest: Manifest, *, yes: bool) -> None:
    exported = {manifest.dataset, *(name for name, _ in options.others)}
    in_place = options.project == manifest.project and options.dataset in exported
    adds_only = (options.as_ or options.data_only) and not options.replace
    if not in_place or adds_only or (options.replace and yes):
        return
    which = "the dataset that was exported" if options.dataset == manifest.dataset else "another dataset of the set"
    cause = f"it is {which}, and its tables would be replaced"
    hint = "Restore into another dataset, or confirm with {setting:replace} and {setting:yes}."
    raise UsageError(RESTORE, f"{options.project}.{options.dataset}", cause, hint)


async def _refuse_changed_files(task: Task, plan: RestorePlan, findings: list[Finding]) -> None:
    """Raise VerificationError where a table to be restored lacks its files."""
    tables = {step.entry.table for step in plan.tables if step.entry.files}
    changed = [finding for finding in findings if finding.table in tables and finding.kind != FindingKind.EXTRA]
    if not changed:
        return
    files = [f"{finding.file} is {finding.kind.value}" for finding in changed]
    cause = f"its files are not as exported: {named(files, NAMED)}"
    found = await read_replacing(task.store, task.settings)
    if found and found.published == plan.run:
        hint = f"{found.sentence} Or let {{setting:finish_run}} finish it first, and restore that run."
    else:
        hint = f"{{call:verify run={plan.run}}} lists all of them. Restore another run, or exclude these tables."
    raise VerificationError(RESTORE, f"run {plan.run}", cause, hint)


async def _note_location(task: Task, plan: RestorePlan) -> None:
    """Log that files are loaded across locations, which costs network."""
    store = task.bucket
    try:
        bucket = (await store.describe()).location
    except DeniedError:
        return
    if bucket and bucket.upper() != plan.target.location.upper():
        message = "%s is in %s, and the dataset in %s: loading across locations is billed as network traffic"
        log.warning(message, store.url, bucket, plan.target.location, extra=LogEvent.COST_NOTED.extra())
