"""What a run needs of BigQuery: the dataset, its tables and definitions, and jobs.

What a run needs of the target: the bucket's settings, the prefix, and objects.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from bqdump.check.doctor.checks import CheckOutcome, Checks
from bqdump.check.doctor.reach import note_reach, reach_of
from bqdump.core.documents.definitions import RowPolicy
from bqdump.core.errors import (
    BqdumpError,
    DeniedError,
    JobFailedError,
    NotFoundError,
    PerimeterError,
    TargetError,
    UsageError,
)
from bqdump.core.plan.definitions import dataset_definition
from bqdump.core.plan.guards import POLICED
from bqdump.core.risks import Risk
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import WHOLE, Dataset, Listed
from bqdump.core.times import CLOCKS_APART_SECONDS, period_text
from bqdump.export.planning.definitions import POLICIES_VIEW, by_query
from bqdump.export.planning.target import find_dataset, refuse_bucket, refuse_key
from bqdump.ports.store import BucketInfo, Copy, ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.prefix_owner import check_prefix
from bqdump.repository.repository import refuse_place

CONTENT = b'{"what":"bqdump doctor looks whether it may write here"}'
LEFT_OUT = "a run leaves these definitions out, and names them"


async def check_dataset(
    checks: Checks, warehouse: Warehouse, settings: Settings, clock: Callable[[], float]
) -> Dataset | None:
    """That the dataset can be seen, and jobs can be started. clock: this machine's time, in seconds since 1970 UTC."""
    place = f"{settings.project}.{settings.dataset}"
    dataset = await checks.ask(
        "see the dataset",
        place,
        "bigquery.datasets.get",
        lambda: find_dataset(warehouse, settings),
        lambda seen: f"it is in {seen.location}",
    )
    if dataset is None:
        return None
    now = await checks.ask(
        "start jobs",
        f"project {settings.jobs_in}",
        "bigquery.jobs.create",
        lambda: warehouse.now(dataset.location),
    )
    if now is not None:
        apart = abs(clock() - now / 1000)
        detail = f"this machine's clock and BigQuery's are {apart:,.0f} s apart"
        checks.note("clock", "", CheckOutcome.WARNING if apart > CLOCKS_APART_SECONDS else CheckOutcome.OK, detail)
    return dataset


async def check_tables(checks: Checks, warehouse: Warehouse, dataset: Dataset) -> list[Listed] | None:
    """That its tables can be listed."""
    return await checks.ask(
        "list its tables",
        f"{dataset.project}.{dataset.name}",
        "bigquery.tables.list",
        lambda: warehouse.tables(dataset),
        lambda listed: counted(len(listed), "object"),
    )


async def check_definitions(
    checks: Checks, warehouse: Warehouse, settings: Settings, dataset: Dataset, listed: list[Listed]
) -> None:
    """The permissions on a table, tried on the first one: they are granted on the dataset."""
    table = next((item.name for item in listed if item.kind in POLICED), "")
    if not table:
        checks.note("read tables", f"{dataset.project}.{dataset.name}", CheckOutcome.UNTRIED, "there is no table")
        return
    on = f"table {table}"
    described = await checks.ask("see definitions", on, "bigquery.tables.get", lambda: warehouse.table(dataset, table))
    definition = described.definition if described else msgspec.Raw(b"null")
    select = sql.select_part(dataset, table, None, definition, WHOLE)
    # Exporting needs bigquery.tables.export as well, which cannot be tried without exporting.
    await checks.ask(
        "read rows (a dry run)",
        on,
        "bigquery.tables.getData",
        lambda: warehouse.estimate(dataset, table, select, {}),
    )
    policies = await warehouse.row_policies(dataset, table)
    await _check_rebuilding(checks, warehouse, dataset, policies or ())
    if policies is not None and by_query(settings, sum(item.kind in POLICED for item in listed)):
        await _check_policies_view(checks, warehouse, dataset)
    if policies is not None:
        checks.note("see row access policies", on, CheckOutcome.OK, "", "bigquery.rowAccessPolicies.list")
    elif Risk.UNSEEN_ROW_POLICIES in settings.allow:
        detail = f"no permission to list them; {{setting:allow={Risk.UNSEEN_ROW_POLICIES}}} accepts that"
        checks.note("see row access policies", on, CheckOutcome.WARNING, detail, "bigquery.rowAccessPolicies.list")
    else:
        detail = "a run is refused: a policy could silently hide rows"
        checks.note("see row access policies", on, CheckOutcome.DENIED, detail, "bigquery.rowAccessPolicies.list")


async def _check_policies_view(checks: Checks, warehouse: Warehouse, dataset: Dataset) -> None:
    """The permission to see the row access policies of all tables with one query, from a dry run, which is free."""
    permission, name = "bigquery.rowAccessPolicies.get", "see row access policies with one query"
    try:
        await warehouse.estimate(dataset, POLICIES_VIEW, sql.policed(dataset), {})
    except (DeniedError, JobFailedError):
        detail = "a run lists the policies of each table instead, which takes longer"
        checks.note(name, POLICIES_VIEW, CheckOutcome.WARNING, detail, permission)
    else:
        checks.note(name, POLICIES_VIEW, CheckOutcome.OK, "", permission)


async def _check_rebuilding(
    checks: Checks, warehouse: Warehouse, dataset: Dataset, policies: Sequence[RowPolicy]
) -> None:
    """The permissions to read what rebuilds the dataset around its tables. A run does without them."""
    place = f"{dataset.project}.{dataset.name}"
    seen = not dataset_definition(dataset.definition)[1]
    outcome, detail = (CheckOutcome.OK, "") if seen else (CheckOutcome.WARNING, LEFT_OUT)
    checks.note("see access entries", place, outcome, detail, "bigquery.datasets.getIamPolicy")
    await _check_definition(
        checks, "see routines", place, "bigquery.routines.list", lambda: warehouse.routines(dataset)
    )
    await _check_definition(checks, "see models", place, "bigquery.models.list", lambda: warehouse.models(dataset))
    if policies:
        table, name = policies[0].table, policies[0].name
        on, permission = f"row access policy {name}", "bigquery.rowAccessPolicies.getIamPolicy"
        await _check_definition(checks, "see members", on, permission, lambda: warehouse.grantees(dataset, table, name))


async def _check_definition(
    checks: Checks, name: str, on: str, permission: str, question: Callable[[], Awaitable[object]]
) -> None:
    try:
        await question()
    except DeniedError:
        checks.note(name, on, CheckOutcome.WARNING, LEFT_OUT, permission)
    else:
        checks.note(name, on, CheckOutcome.OK, "", permission)


async def check_bucket(checks: Checks, store: ObjectStore, settings: Settings) -> tuple[BucketInfo | None, bool]:
    """The bucket's settings, and whether to try writing there: what is written must be deletable."""
    url, permission = store.url, "storage.buckets.get"
    try:
        bucket = await store.describe()
        refuse_place(store, settings.target)
        refuse_bucket(bucket, url)
        refuse_key(bucket, settings, url)
    except PerimeterError as error:
        checks.note("see the bucket", url, CheckOutcome.REFUSED, f"{error.cause.rstrip('.')}. {error.hint}", permission)
        return None, False
    except DeniedError:
        detail = "location, retention and soft delete are not checked"
        checks.note("see the bucket", url, CheckOutcome.WARNING, detail, permission)
        return None, True
    except NotFoundError as error:
        # Here the missing resource is the bucket, not a document.
        checks.note("see the bucket", url, CheckOutcome.MISSING, error.cause, permission)
        return None, False
    except (TargetError, UsageError) as error:
        checks.note("see the bucket", url, CheckOutcome.REFUSED, f"{error.cause}. {error.hint}", permission)
        return None, False
    detail = f"it is in {bucket.location}" if bucket.location else ""
    checks.note("see the bucket", url, CheckOutcome.OK, detail, permission)
    if bucket.soft_delete_seconds:
        detail = (
            f"soft delete is on: deleted and replaced files stay billed for {period_text(bucket.soft_delete_seconds)}"
        )
        checks.note("deleted files", url, CheckOutcome.OK, detail)
    if bucket.versions:
        detail = "versioning is on: deleted and replaced files stay billed as noncurrent versions"
        checks.note("deleted files", url, CheckOutcome.WARNING, detail)
    return bucket, True


async def check_owner(checks: Checks, store: ObjectStore, settings: Settings) -> bool:
    """Whether the prefix is free, or this dataset's."""
    place = str(settings.target)
    owner = await checks.ask(
        "the prefix is this dataset's",
        place,
        "storage.objects.get",
        lambda: check_prefix(store, settings),
        lambda owner: f"it belongs to {owner[0].project}.{owner[0].dataset}" if owner[0] else "it is free",
    )
    return owner is not None


async def check_objects(
    checks: Checks, store: ObjectStore, settings: Settings, bucket: BucketInfo | None, now: int, *, writable: bool
) -> None:
    """Create, read, list, copy and delete two objects that belong to the doctor; and what else could be deleted.

    now: in milliseconds since 1970 UTC.
    """
    folder = f"{settings.layout.root}doctor/"
    name = f"{folder}{secrets.token_hex(8)}.json"
    rights = {"read objects": "get", "list objects": "list", "replace objects": "update", "delete objects": "delete"}
    written = dict[str, int]()
    created = None
    if writable:
        created = await checks.ask(
            "create objects", store.url, "storage.objects.create", lambda: store.write(name, CONTENT, 0)
        )
    if created is None:
        for what, right in rights.items():
            checks.note(what, store.url, CheckOutcome.UNTRIED, "no object could be made", f"storage.objects.{right}")
        reach = await reach_of(store, settings, name) if writable else None
        if reach and (reach.runs or reach.locks):
            # As an account that only prunes.
            note_reach(checks, store, settings, reach, bucket, now)
        return
    written[name] = created
    await checks.ask("read objects", store.url, "storage.objects.get", lambda: store.read(name))
    await checks.ask("list objects", store.url, "storage.objects.list", lambda: _listed(store, folder))
    reach = await reach_of(store, settings, name)
    if settings.template.keeps and reach.pointers and not reach.own:
        checks.note("delete objects", store.url, CheckOutcome.OK, f"not permitted, nor needed; left behind: {name}")
        note_reach(checks, store, settings, reach, bucket, now)
        return
    wish = Copy(name, created, f"{name}.copy", 0)
    copied = await checks.ask("replace objects", store.url, "storage.objects.update", lambda: _copied(store, wish))
    if copied:
        written[wish.target] = copied
    await checks.ask(
        "delete objects",
        store.url,
        "storage.objects.delete",
        lambda: delete_written(store, written),
        lambda _: "",
        f"left behind: {', '.join(written)}",
    )
    note_reach(checks, store, settings, reach, bucket, now)


async def _listed(store: ObjectStore, folder: str) -> bool:
    return any([page async for page in store.objects(folder)])


async def _copied(store: ObjectStore, wish: Copy) -> int:
    (result,) = await store.copy([wish], "doctor")
    if isinstance(result, BqdumpError):
        raise result
    return result.generation


async def delete_written(store: ObjectStore, written: dict[str, int]) -> bool:
    """Delete objects that the doctor has written, by name with their generations. Raises the first error."""
    for result in await store.delete(list(written.items())):
        if isinstance(result, BqdumpError):
            raise result
    return True
