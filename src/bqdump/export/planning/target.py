"""The target of an export, checked before anything is written to it.

Packages of an extra: looked for before a run is planned, so that no plan is left which cannot be carried out.

The bytes that a plan's queries will bill, and whether BigQuery accepts them: a dry run of each, before the run.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from importlib.machinery import PathFinder

import msgspec

from bqdump.concurrency import gathered
from bqdump.core.errors import (
    PLAN,
    BqdumpError,
    DeniedError,
    JobFailedError,
    NotFoundError,
    PerimeterError,
    TableGoneError,
    UsageError,
    install_hint,
)
from bqdump.core.plan.routes import Routed, Routing
from bqdump.core.progress.log_events import LogEvent
from bqdump.core.settings.settings import Settings
from bqdump.core.sizes import counted, named, size_text
from bqdump.core.sql import statements as sql
from bqdump.core.tables.catalog import EXTRACTABLE, Dataset
from bqdump.core.wording import close_name
from bqdump.ports.store import BucketInfo, ObjectStore
from bqdump.ports.warehouse import Warehouse
from bqdump.repository.prefix_owner import check_prefix

log = logging.getLogger(__name__)


async def check_target(store: ObjectStore, settings: Settings) -> BucketInfo | None:
    """Refuse a target to which the export cannot be written, before anything is written.

    Returns the bucket's settings, None where there is no permission to read them.
    Raises UsageError as check_bucket, and for a prefix that belongs to another dataset.
    """
    bucket = await check_bucket(store, settings)
    await check_prefix(store, settings)
    return bucket


async def find_dataset(warehouse: Warehouse, settings: Settings) -> Dataset:
    """The dataset that is exported. Raises NotFoundError, with the name that may be meant."""
    try:
        return await warehouse.dataset(settings.project, settings.dataset)
    except NotFoundError as error:
        names: list[str] = []
        # Without permission to list them, none is suggested.
        with suppress(BqdumpError):
            names = [dataset.name for dataset in await warehouse.list_datasets(settings.project)]
        if close := close_name(settings.dataset, names):
            raise NotFoundError(error.operation, error.subject, error.cause, f"Did you mean {close}?") from None
        raise


@asynccontextmanager
async def of_dataset(warehouse: Warehouse, settings: Settings) -> AsyncIterator[None]:
    """Where a target is refused, a dataset that does not exist is the better reason. Raises NotFoundError for it."""
    try:
        yield
    except UsageError:
        # A misspelt name is no reason to hand a prefix over, or to look for another one.
        await find_dataset(warehouse, settings)
        raise


async def check_bucket(store: ObjectStore, settings: Settings) -> BucketInfo | None:
    """The bucket's settings, None where there is no permission to read them.

    Raises UsageError for a bucket with a retention policy or a hold, or a key that files would not get.
    """
    try:
        bucket = await store.describe()
    except PerimeterError:
        raise
    except DeniedError:
        message = "%s: missing permission to read bucket settings (storage.buckets.get); not checked"
        log.warning(message, store.url, extra=LogEvent.BUCKET_UNCHECKED.extra())
        return None
    refuse_bucket(bucket, store.url)
    refuse_key(bucket, settings, store.url)
    return bucket


def refuse_bucket(bucket: BucketInfo, url: str) -> None:
    """Raise UsageError for a bucket whose objects cannot be replaced."""
    if bucket.retention_seconds:
        cause, obstacle = (
            f"its retention policy keeps objects for {counted(bucket.retention_seconds, 'second')}",
            "retention policy",
        )
    elif bucket.holds:
        cause, obstacle = "it puts every new object under a hold", "default event-based hold"
    else:
        return
    hint = f"Use a bucket without a {obstacle}."
    raise UsageError(PLAN, url, f"{cause}, and an export must replace its files", hint)


def refuse_key(bucket: BucketInfo, settings: Settings, url: str) -> None:
    """Raise UsageError for a Cloud KMS key that files would not get."""
    if not settings.kms_key or not settings.template.keeps or bucket.kms_key == settings.kms_key:
        return
    default = bucket.kms_key or "which is none"
    raise UsageError(
        PLAN,
        settings.kms_key,
        "{run} in {setting:path} lets BigQuery write final names at once, and "
        f"what BigQuery writes gets the default key of {url}, {default}",
        "Make it the bucket's default key, with `gcloud storage buckets update --default-encryption-key`.",
        setting="kms_key",
    )


# The packages of the extra `read`.
READ = ("google.cloud.bigquery_storage", "grpc", "isal", "polars", "pyarrow")


def refuse_missing_packages(routed: Sequence[Routed]) -> None:
    """Raise UsageError where tables take the read route and a package that it needs is not installed."""
    reads = next((item for item in routed if item.route == "read"), None)
    missing = next((name for name in READ if not _installed(name)), "") if reads else ""
    if reads and missing:
        cause = f"it takes the read route ({reads.why}), and {missing} is not installed"
        raise UsageError(PLAN, f"table {reads.table.name}", cause, install_hint("read"))


def _installed(name: str) -> bool:
    # What is kept from being imported for now (lean_imports) is installed all the same.
    return (importlib.util.find_spec(name) if "." in name else PathFinder.find_spec(name)) is not None


DRY_RUNS_AT_ONCE = 16
SHOWN = 3


async def estimate_queries(warehouse: Warehouse, dataset: Dataset, snapshot: int, routing: Routing) -> Routing:
    """The same routing with the bytes that each query will bill. One request for each query or filter.

    Raises UsageError with BigQuery's message for tables whose query it refuses.
    """

    async def tried(item: Routed) -> Routed | JobFailedError:
        # Filters of read sessions are tried as well: BigQuery would refuse a bad one only during the run.
        if item.route != "query" and not item.shape.where:
            return item
        as_of = snapshot if item.read_at == "snapshot" else None
        select = sql.select_part(dataset, item.table.name, as_of, item.table.definition, item.shape)
        if len(select) > sql.MOST_STATEMENT:
            cause = f"the query would have {len(select):,} characters, and BigQuery permits {sql.MOST_STATEMENT:,}"
            return JobFailedError(PLAN, f"table {item.table.name}", cause)
        try:
            estimated = await warehouse.estimate(dataset, item.table.name, select, item.shape.salts)
        except JobFailedError as error:
            # A table deleted during planning stays in the plan: its export fails by name.
            gone = isinstance(error, TableGoneError) and item.table.kind in EXTRACTABLE
            return item if gone else error
        if item.route != "query":
            return item
        return msgspec.structs.replace(item, bills=estimated.bytes, bills_at_least=estimated.at_least)

    outcomes = await gathered(tried, routing.routed, DRY_RUNS_AT_ONCE)
    refused = {
        item.table.name: outcome.cause
        for item, outcome in zip(routing.routed, outcomes, strict=True)
        if not isinstance(outcome, Routed)
    }
    if refused:
        raise _refusal(refused)
    return Routing(tuple(item for item in outcomes if isinstance(item, Routed)), routing.skipped)


def _refusal(refused: Mapping[str, str]) -> UsageError:
    causes = named([f"{table}: {cause.rstrip('.')}" for table, cause in refused.items()], SHOWN, separator="; ")
    tables = ",".join(refused) if len(refused) <= SHOWN else "TABLE,…"
    single = len(refused) == 1
    what = f"table {next(iter(refused))}" if single else f"{len(refused)} tables"
    cause = f"BigQuery refuses to query {'it' if single else 'them'} ({causes})"
    return UsageError(PLAN, what, cause, f"Fix it, or leave it out: {{setting:exclude={tables}}}.")


def check_bill(settings: Settings, bills: Mapping[str, int]) -> None:
    """Raise UsageError when the queries, by table, would bill more than the settings allow."""
    total, limit = sum(bills.values()), settings.max_bytes_billed
    if not limit or total <= limit:
        return
    largest = sorted(bills.items(), key=lambda item: -item[1])[:SHOWN]
    named = ", ".join(f"{table} {size_text(size)}" for table, size in largest if size)
    raise UsageError(
        PLAN,
        size_text(limit),
        f"the queries would bill {size_text(total)} (most: {named})",
        "Raise it, choose fewer columns, or leave tables out with {setting:exclude}.",
        setting="max_bytes_billed",
    )
