"""Every check, in the order of a run.

What planning finds: the guards, and the permission to open a read session.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import msgspec

from bqdump.check.doctor.checks import Check, CheckOutcome, Checks
from bqdump.check.doctor.needs import (
    CONTENT,
    check_bucket,
    check_dataset,
    check_definitions,
    check_objects,
    check_owner,
    check_tables,
    delete_written,
)
from bqdump.core.documents.copying import CopyPlace
from bqdump.core.documents.target import source_of
from bqdump.core.errors import AnswerError, DeniedError, TargetError, UsageError
from bqdump.core.plan.altered import folded
from bqdump.core.plan.guards import GUARDS, sentence, to_allow
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import Dataset
from bqdump.core.times import rfc3339
from bqdump.core.wording import PYTHON, Words
from bqdump.export.carry import read_published
from bqdump.export.planning.draft import Draft, draft_plan
from bqdump.export.planning.survey import Earlier, Request
from bqdump.export.task import ReadRoute
from bqdump.ports.reader import ReadRequest
from bqdump.ports.store import BucketInfo, ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.repository import exists, value_of

READS = "bigquery.readsessions.create"
# What a copy with --lock writes with, in S3.
LOCKING = {
    "create objects": "s3:PutObject",
    "lock objects": "s3:PutObjectRetention",
    "see locks": "s3:GetObjectRetention",
}
# BigQuery's API for datasets does not report whether one is attached to a failover reservation.
DISASTER_RECOVERY = (
    " (not checked: under managed disaster recovery, extract jobs need a reservation assignment of type PIPELINE)"
)


async def check_plan(
    checks: Checks,
    store: ObjectStore,
    warehouse: Warehouse,
    open_read_route: Callable[[], ReadRoute],
    settings: Settings,
    bucket: BucketInfo | None,
    *,
    compare: bool,
) -> None:
    """The risks of each table, from planning.

    open_read_route: see Task.
    compare: with what is published there.
    """
    place = f"{settings.project}.{settings.dataset}"
    failed = {check.permission for check in checks.made if check.outcome in (CheckOutcome.DENIED, CheckOutcome.MISSING)}
    needed = failed - {"bigquery.rowAccessPolicies.list"}
    if any(permission.startswith("bigquery.") for permission in needed):
        checks.note("plan an export", place, CheckOutcome.UNTRIED, "skipped: fix what is denied or missing above first")
        return
    drafted = await checks.ask(
        "plan an export",
        place,
        "",
        lambda: _draft(store, warehouse, settings, bucket, compare=compare),
        lambda draft: counted(draft.plan.tables, "table") + _cannot_be_checked(draft),
    )
    if drafted is None:
        return
    await _check_session(checks, open_read_route, drafted)
    for flag in drafted.plan.flags:
        outcome, how = (CheckOutcome.WARNING, "") if flag.allowed else (CheckOutcome.REFUSED, _way_out(flag.risk))
        checks.note(f"risk: {flag.risk.value}", flag.table or place, outcome, f"{sentence(flag)}{how}")
    for change in folded(drafted.altered):
        detail = f"not exact in {change.format}, where {change.change}: {', '.join(change.columns)}"
        checks.note("values come back", change.table, CheckOutcome.WARNING, detail)


async def _draft(
    store: ObjectStore, warehouse: Warehouse, settings: Settings, bucket: BucketInfo | None, *, compare: bool
) -> Draft:
    published = await read_published(store, settings) if compare else None
    # Every table is tried, also those that the next run need not export.
    settings = msgspec.structs.replace(settings, incremental=False)
    return await draft_plan(warehouse, Request(settings, "doctor", 1, bucket, Earlier(store, published)))


async def _check_session(checks: Checks, open_read_route: Callable[[], ReadRoute], draft: Draft) -> None:
    """The permission to open a read session, tried if a table takes the read route. Opening a session is free."""
    table = next((planned for planned in draft.tables if planned.route == "read"), None)
    if table is None:
        return
    plan = draft.plan
    dataset = Dataset(plan.project, plan.dataset, plan.location)
    rows = sql.condition(table.definition, table.shape.where)
    request = ReadRequest(dataset, table.table, plan.snapshot, (), rows, 1)
    await checks.ask(
        "open a read session", f"table {table.table}", READS, lambda: open_read_route().reader.open(request)
    )


def _cannot_be_checked(draft: Draft) -> str:
    """Requirements of the export that BigQuery does not report, in words; "" for none."""
    return DISASTER_RECOVERY if any(table.route == "extract" for table in draft.tables) else ""


def _way_out(risk: Risk) -> str:
    return f". {GUARDS[risk].remedy} To export anyway: {to_allow([risk])}"


async def examine(
    store: ObjectStore,
    warehouse: Warehouse,
    open_read_route: Callable[[], ReadRoute],
    settings: Settings,
    clock: Callable[[], float],
    words: Words = PYTHON,
) -> list[Check]:
    """Each check builds on the results of those before it.

    open_read_route: see Task.
    clock: this machine's time, in seconds since 1970 UTC.
    words: name settings.

    Raises only errors that say nothing about permissions or risks, such as a failed connection.
    """
    checks = Checks(words)
    dataset = await check_dataset(checks, warehouse, settings, clock)
    listed = await check_tables(checks, warehouse, dataset) if dataset else None
    if dataset and listed is not None:
        await check_definitions(checks, warehouse, settings, dataset, listed)
    bucket, writable = await check_bucket(checks, store, settings)
    ours = await check_owner(checks, store, settings)
    await check_objects(checks, store, settings, bucket, int(clock() * 1000), writable=writable)
    await check_plan(checks, store, warehouse, open_read_route, settings, bucket, compare=ours)
    return checks.made


async def examine_copies(store: ObjectStore, settings: Settings, words: Words = PYTHON) -> list[Check]:
    """What a copy to S3 needs, in the words of S3. Nothing else is stored there. See examine.

    Where copies are locked, nothing is written, since it would stay.
    """
    checks, url = Checks(words), store.url
    bucket = await checks.ask(
        "see the bucket",
        url,
        "s3:ListBucket",
        store.describe,
        lambda info: f"it is in {info.location}" if info.location else "",
    )
    if bucket is None:
        # Who may not list a bucket is not told that an object does not exist either.
        detail = "skipped: fix the permission above first"
        for right in ("s3:GetObject", "s3:PutObject", "s3:DeleteObject"):
            checks.note("use the place", str(settings.target), CheckOutcome.UNTRIED, detail, right)
        return checks.made
    copies = await checks.ask(
        "the place is for copies",
        str(settings.target),
        "s3:GetObject",
        lambda: _copies_in(store, settings),
        lambda place: f"it holds copies of {source_of(place.project, place.dataset)}" if place.project else "",
    )
    if copies is None:
        return checks.made
    if copies.lock:
        for what, right in LOCKING.items():
            checks.note(what, url, CheckOutcome.UNTRIED, "copies there are locked, and an attempt would stay", right)
    else:
        await _try_writing(checks, store, settings)
    return checks.made


async def _try_writing(checks: Checks, store: ObjectStore, settings: Settings) -> None:
    url, name = store.url, f"{settings.layout.root}doctor/{secrets.token_hex(8)}.json"
    created = await checks.ask("create objects", url, "s3:PutObject", lambda: store.write(name, CONTENT, 0))
    if created is None:
        for what, right in (("read objects", "s3:GetObject"), ("delete objects", "s3:DeleteObject")):
            checks.note(what, url, CheckOutcome.UNTRIED, "no object could be made", right)
        return
    await checks.ask("read objects", url, "s3:GetObject", lambda: store.read(name))
    written, left = {name: created}, f"left behind: {name}"
    if until := await _locked_until(store, name):
        detail = f"the bucket locks each new object; left behind until {rfc3339(until)}: {name}"
        checks.note("delete objects", url, CheckOutcome.WARNING, detail, "s3:DeleteObject")
    else:
        await checks.ask("delete objects", url, "s3:DeleteObject", lambda: delete_written(store, written), instead=left)
    what, right = "find parts that killed copies left", "s3:ListBucketMultipartUploads"
    try:
        await store.discard_uploads([name])
    except (TargetError, DeniedError, AnswerError) as error:
        # A copy goes on without it.
        checks.note(what, url, CheckOutcome.WARNING, f"they stay, and are billed: {error.cause}", right)
    else:
        detail = "to abort them takes s3:AbortMultipartUpload, which is not tried"
        checks.note(what, url, CheckOutcome.OK, detail, right)


async def _locked_until(store: ObjectStore, name: str) -> int:
    """When the lock that the bucket gave an object ends, in milliseconds since 1970 UTC; 0: none, or hidden."""
    try:
        info = await store.stat(name)
    except DeniedError:
        return 0
    return info.locked_until if info else 0


async def _copies_in(store: ObjectStore, settings: Settings) -> CopyPlace:
    """What is known of the copies there, empty for none. Raises UsageError where something else is there."""
    layout = settings.layout
    copies = await value_of(store, layout.copies)
    if copies is None and not await exists(store, layout.set_manifest):
        async for page in store.objects(settings.target.prefix):
            for info in page:
                cause = f"it holds no copies of exports, and is not empty: it has {info.name}"
                raise UsageError("check", str(settings.target), cause, "Copy to an empty place.")
            break
    return copies or CopyPlace("", "", "", 0)
