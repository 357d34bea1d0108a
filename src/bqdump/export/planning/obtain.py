"""Planning a run: one task makes the plan, all others read it."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress

import msgspec

from bqdump.core.documents.codec import decode, encode, encode_indented
from bqdump.core.documents.run import Newest, Owner, Plan, Unit
from bqdump.core.errors import (
    BqdumpError,
    ConflictError,
    DeniedError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from bqdump.core.plan.catalog import Dataset, Listed
from bqdump.core.plan.draft import choose, make_plan, read_units, unmatched
from bqdump.core.plan.file_names import refuse_names
from bqdump.core.plan.guards import (
    COSTS_ONLY,
    column_flags,
    judge,
    policy_flags,
    refuse,
    refuse_moment,
    sentence,
    skipped_flags,
    target_flags,
    unit_flags,
)
from bqdump.core.plan.hidden_data import lacking_flags
from bqdump.core.plan.parts import whole
from bqdump.core.plan.removal import Published, leaving, removal_flags, removal_sentence
from bqdump.core.plan.routes import route_tables
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.times import moment_text
from bqdump.export.carry import read_published, refuse_other_mode
from bqdump.export.planning.billing import check_bill, estimate_queries
from bqdump.export.planning.change_capture import bill_of, captured_tables
from bqdump.export.planning.definitions import describe, row_policies
from bqdump.export.planning.extras import refuse_missing_packages
from bqdump.export.publish.abandoned import note_staging
from bqdump.export.task import RunningExport, Task
from bqdump.ports.store import BucketInfo, ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.prefix_owner import check_prefix, claim_prefix, release_prefix

log = logging.getLogger(__name__)

LISTINGS = 3
FLAGS_TOLD = 20
PULSE_SECONDS = 10.0
# A planner whose pulse has stood still for so long, by the waiting task's own clock, is taken for dead.
PATIENCE_SECONDS = 60.0
PLAN = "plan the export"


async def obtain_plan(task: Task) -> Plan:
    """The plan of this run: read when there is one, else made by this task or by the one that was first.

    Raises UsageError when the run was planned with other settings, or the dataset cannot be exported as asked.
    """
    plan = await read_plan(task) or await _make_or_await(task)
    await claim_prefix(task.store, task.settings, task.run)
    wanted = task.settings.frozen()
    if plan.digest != task.settings.digest() or plan.settings != wanted:
        names = sorted(name for name in wanted if wanted[name] != plan.settings.get(name))
        cause = f"it was planned with other settings ({', '.join(names) or 'of another release'})"
        raise UsageError(PLAN, f"run {task.run}", cause, "Use the same settings, or another run id.")
    return plan


async def read_plan(task: Task) -> Plan | None:
    """The plan as it is stored, None when there is none yet."""
    try:
        stored = await task.store.read(task.layout.plan)
    except NotFoundError:
        return None
    return decode(stored.data, Plan, task.layout.plan)


async def check_target(store: ObjectStore, settings: Settings) -> BucketInfo | None:
    """Refuse a target that cannot be written as promised, before anything is written.

    Returns what the bucket tells about itself, None where there is no right to ask.
    Raises UsageError for a bucket with a retention policy or a hold, a key that files would not get, or a prefix that
    belongs to another dataset.
    """
    bucket = None
    try:
        bucket = await store.describe()
    except DeniedError:
        log.warning("%s: no right to see the bucket's settings (storage.buckets.get): not checked", store.url)
    else:
        refuse_bucket(bucket, store.url)
        refuse_key(bucket, settings, store.url)
    await check_prefix(store, settings)
    return bucket


def refuse_bucket(bucket: BucketInfo, url: str) -> None:
    """Raise UsageError for a bucket whose objects cannot be replaced."""
    if bucket.retention_seconds:
        cause, wanted = f"its retention policy keeps objects for {bucket.retention_seconds} seconds", "retention policy"
    elif bucket.holds:
        cause, wanted = "it puts every new object under a hold", "default event-based hold"
    else:
        return
    hint = f"Use a bucket without a {wanted}."
    raise UsageError(PLAN, url, f"{cause}, and an export must replace its files", hint)


def refuse_key(bucket: BucketInfo, settings: Settings, url: str) -> None:
    """Raise UsageError for a Cloud KMS key that files would not get."""
    if settings.kms_key and settings.template.keeps and bucket.kms_key != settings.kms_key:
        raise UsageError(
            PLAN, f"kms_key {settings.kms_key}", f"{{run}} in --path lets BigQuery write final names at once, and "
            f"what BigQuery writes gets the default key of {url}, {bucket.kms_key or 'which is none'}",
            "Make it the bucket's default key: gcloud storage buckets update --default-encryption-key.",
        )  # fmt: skip


async def draft_plan(
    warehouse: Warehouse,
    settings: Settings,
    run: str,
    tasks: int,
    bucket: BucketInfo | None,
    published: Published | None,
) -> tuple[Plan, bytes]:
    """Look at the dataset and plan its export, without storing anything. Returns the plan and its units.

    published: the export that it would replace.
    What the guards have found is in its flags; whether a run may go on is for `refuse` to say.
    """
    dataset = await warehouse.dataset(settings.project, settings.dataset)
    if settings.location and settings.location.lower() != dataset.location.lower():
        cause = f"{settings.project}.{settings.dataset} lies in {dataset.location}"
        raise UsageError(PLAN, f"location {settings.location}", cause, "Leave the setting out to follow the dataset.")
    now, snapshot, listing = await _listing_of_a_moment(warehouse, dataset, settings)
    selection = choose(listing, settings, snapshot)
    for pattern, guess in unmatched([item.name for item in listing], settings.exclude):
        log.warning("exclude %r: no table of %s matches%s", pattern, settings.dataset, guess)
    (tables, unseen), policies = await asyncio.gather(
        describe(warehouse, dataset, snapshot, selection.chosen), row_policies(warehouse, dataset, selection.chosen)
    )
    captured = await captured_tables(warehouse, dataset, settings, tables)
    chosen = {item.name for item in selection.chosen}
    unchosen = [item.name for item in listing if item.name not in chosen]
    routing = route_tables(settings, tables, unchosen, captured.tables or ())
    refuse_missing_packages(routing.routed)
    routing = await estimate_queries(warehouse, dataset, snapshot, routing)
    check_bill(settings, bill_of(captured) | {item.table.name: item.bills or 0 for item in routing.routed})
    plan, units = make_plan(settings, run, secrets.token_hex(4), dataset, snapshot, selection, routing, tasks)
    later = {item.name for item in listing if item.created > snapshot}
    planned = read_units(units, plan)
    if bucket:
        refuse_names(_patterns(settings, plan, planned), bucket.names, settings.target)
    together = list(whole(planned, plan.splits))
    found = [
        *policy_flags(policies),
        *unit_flags(together),
        *lacking_flags(together, captured),
        *skipped_flags(plan.skipped, later),
        *column_flags(unseen),
    ]
    if bucket:
        found += target_flags(dataset.location, bucket.location, bucket.soft_delete_seconds, versions=bucket.versions)
    if published and published.age < plan.age:
        listed = {item.name for item in listing}
        removed, kept = leaving(published, {unit.table for unit in together}, listed, settings)
        refuse_other_mode(published, plan, kept)
        found += removal_flags(removed, published)
        plan = msgspec.structs.replace(plan, over=published.run, removed=removed, kept=kept)
    return msgspec.structs.replace(plan, flags=judge(found, settings), planned=now), units


def _patterns(settings: Settings, plan: Plan, units: Sequence[Unit]) -> Iterator[tuple[str, str]]:
    """Each table, and the patterns of its files where they are written and where they are published."""
    layout = settings.layout.run(plan.run)
    for unit in units:
        yield unit.table, unit.pattern
        if plan.mode == "replace":
            yield unit.table, layout.staged(unit.id, 0, unit.pattern)


async def _listing_of_a_moment(
    warehouse: Warehouse, dataset: Dataset, settings: Settings
) -> tuple[int, int, list[Listed]]:
    """Now, the snapshot time, and what the dataset holds. The moments come first, so that no table is missed.

    A table that is created or replaced between the two cannot be read at that moment: then both are asked for again.
    """
    tries = 1 if settings.snapshot_ms is not None else LISTINGS
    while True:
        now = await warehouse.now(dataset.location)
        snapshot = settings.snapshot_ms if settings.snapshot_ms is not None else now
        refuse_moment(settings, snapshot, now, dataset)
        listing, tries = await warehouse.tables(dataset), tries - 1
        if not tries or all(item.created <= snapshot for item in listing):
            return now, snapshot, listing


async def _make_or_await(task: Task) -> Plan:
    # First of all, for what a bucket with a retention policy once holds cannot be taken back.
    bucket = await check_target(task.store, task.settings)
    await claim_prefix(task.store, task.settings, task.run)
    if not await _become_planner(task):
        return await _await_plan(task)
    try:
        async with _pulse(task):
            published = await read_published(task.store, task.settings)
            plan, units = await draft_plan(task.warehouse, task.settings, task.run, task.tasks, bucket, published)
            refuse(plan.flags, f"{plan.project}.{plan.dataset}")
            generation = await task.store.write(plan.units, units, 0)
            if plan.mode == "replace":
                await note_staging(task)
    except BqdumpError as error:
        if not error.retryable:
            await _step_back(task)
        raise
    try:
        await task.store.write(task.layout.plan, encode_indented(plan), 0)
    except ConflictError:
        stored = await read_plan(task)
        if stored is None:
            raise UnavailableError(PLAN, f"run {task.run}", "the bucket has refused the plan, and holds none") from None
        if stored.nonce != plan.nonce:
            await task.store.delete([(plan.units, generation)])
        return stored
    except BqdumpError as error:
        if not error.retryable:
            await _step_back(task)
        raise
    log.info("planned %s as of %s, for %s", counted(plan.tables, "table"), moment_text(plan.snapshot),
             counted(task.tasks, "task"))  # fmt: skip
    _log_risks(RunningExport(task, plan))
    await task.store.write(task.settings.layout.newest, encode_indented(Newest(plan.run)), None)
    return plan


def _log_risks(export: RunningExport) -> None:
    for removed in export.plan.removed:
        log.warning("%s", removal_sentence(removed), extra={"table": removed.table})
    if export.plan.kept:
        log.info("carrying over %s as they are in run %s", counted(len(export.plan.kept), "table"), export.plan.over)
    flags = [flag for flag in export.plan.flags if flag.risk not in (Risk.REMOVED_TABLES, Risk.DROPPED_TABLES)]
    for flag in flags[:FLAGS_TOLD]:
        level = logging.INFO if flag.risk in COSTS_ONLY else logging.WARNING
        log.log(level, "%s", sentence(flag), extra={"table": flag.table} if flag.table else {})
    if len(flags) > FLAGS_TOLD:
        log.warning("and %s, named in %s", counted(len(flags) - FLAGS_TOLD, "more risk"), export.layout.plan)


async def _become_planner(task: Task) -> bool:
    try:
        await task.store.write(task.layout.planner, encode(task.owner), 0)
    except ConflictError:
        planner, _ = await _planner(task)
        return planner == task.owner
    return True


async def _planner(task: Task) -> tuple[Owner | None, int]:
    """Who is planning, and the generation of that note; (None, 0) when nobody is."""
    try:
        stored = await task.store.read(task.layout.planner)
    except NotFoundError:
        return None, 0
    return decode(stored.data, Owner, task.layout.planner), stored.generation


async def _step_back(task: Task) -> None:
    """Leave nothing behind of a plan that cannot be made; the tasks that wait find out by themselves why."""
    # The refusal is what counts, whatever hinders this.
    with suppress(BqdumpError):
        planner, generation = await _planner(task)
        if planner == task.owner:
            await task.store.delete([(task.layout.planner, generation)])
            await release_prefix(task.store, task.settings, task.run)


@asynccontextmanager
async def _pulse(task: Task) -> AsyncIterator[None]:
    """Rewrite the planner's note now and then, so that the tasks that wait see that planning goes on."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            await task.store.write(task.layout.planner, encode(task.owner), None)

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating


async def _await_plan(task: Task) -> Plan:
    clock = asyncio.get_running_loop().time
    seen, since, pause = 0, clock(), 0.1
    while True:
        if plan := await read_plan(task):
            return plan
        planner, generation = await _planner(task)
        if planner is None:
            return await _make_or_await(task)
        if not seen:
            log.info("waiting for the plan: task %d of execution %s is planning run %s. This task plans instead when "
                     "that one shows no sign of life for %d seconds",
                     planner.task, planner.execution, task.run, PATIENCE_SECONDS)  # fmt: skip
        if generation != seen:
            seen, since = generation, clock()
        elif clock() - since > PATIENCE_SECONDS:
            with suppress(ConflictError):
                await task.store.write(task.layout.planner, encode(task.owner), seen)
                return await _make_or_await(task)
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, 5.0)
