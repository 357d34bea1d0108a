"""Adapters inside their wrappers, ready to use, and this process's place in a run."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import NamedTuple

from bqdump.core.documents import Owner
from bqdump.core.errors import UsageError
from bqdump.core.identity import Identity
from bqdump.core.settings import Settings
from bqdump.ports import ObjectStore, Warehouse


class Services(NamedTuple):
    """The two ports, ready to use."""

    store: ObjectStore
    warehouse: Warehouse

    async def close(self) -> None:
        """Let go of both."""
        await self.store.close()
        await self.warehouse.close()


def open_store(settings: Settings) -> ObjectStore:
    """The target of the export."""
    from bqdump.adapters.gcs import CloudStore
    from bqdump.adapters.retry import RetryingStore

    return RetryingStore(CloudStore(settings.bucket, settings.jobs_in))


def open_services(settings: Settings, tasks: int) -> Services:
    """Source and target of the export, for one of so many tasks."""
    from bqdump.adapters.bigquery import BigQueryWarehouse
    from bqdump.adapters.limits import PacedWarehouse
    from bqdump.adapters.retry import RetryingWarehouse

    store = open_store(settings)
    return Services(store, RetryingWarehouse(PacedWarehouse(BigQueryWarehouse(settings.jobs_in), tasks)))


def run_id(settings: Settings, identity: Identity) -> str:
    """The run's name: as set, else the execution's, else the UTC time. Raises UsageError where tasks would disagree."""
    if settings.run_id:
        return settings.run_id
    if identity.execution:
        return identity.execution
    if identity.engine:
        raise UsageError(
            "read the settings", "run_id", f"{identity.engine} gives its tasks no common name",
            "Set BQDUMP_RUN_ID to something that all tasks of this run share, such as the job's id.",
        )  # fmt: skip
    now = datetime.now(UTC)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}Z"


def owner(identity: Identity, run: str) -> Owner:
    """Who this process is to the other tasks. Without an engine each process is an execution of its own."""
    alone = f"{run}-{secrets.token_hex(4)}"
    execution = identity.execution or (run if identity.engine else alone)
    return Owner(execution, identity.task)
