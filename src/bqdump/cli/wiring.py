"""What is wired to what: adapters inside their wrappers, and this process's place in the run."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple, TypeVar

from bqdump.core.documents import Owner
from bqdump.core.errors import UsageError
from bqdump.core.identity import Identity
from bqdump.core.settings import Settings
from bqdump.ports import ObjectStore, Warehouse

# Google's clients import these when they can, and an export needs none of them.
UNUSED = ("pandas", "pyarrow", "geopandas", "IPython", "opentelemetry", "grpc")


Answer = TypeVar("Answer")


class Services(NamedTuple):
    """The two ports, ready to use."""

    store: ObjectStore
    warehouse: Warehouse

    async def close(self) -> None:
        """Let go of both."""
        await self.store.close()
        await self.warehouse.close()


def import_lean() -> None:
    """Keep Google's clients from importing optional packages in this process: half of a task's start-up time."""
    modules: dict[str, Any] = sys.modules
    for name in UNUSED:
        modules.setdefault(name, None)


def open_store(settings: Settings) -> ObjectStore:
    """The target of the export."""
    import_lean()
    from bqdump.adapters.gcs import CloudStore
    from bqdump.adapters.retry import RetryingStore

    return RetryingStore(CloudStore(settings.bucket, settings.jobs_in))


def ask_store(settings: Settings, question: Callable[[ObjectStore], Awaitable[Answer]]) -> Answer:
    """What the question finds out from the target, which is opened for it and closed behind it."""

    async def ask() -> Answer:
        store = open_store(settings)
        try:
            return await question(store)
        finally:
            await store.close()

    return asyncio.run(ask())


def open_services(settings: Settings, tasks: int) -> Services:
    """Source and target of the export, for one of so many tasks."""
    store = open_store(settings)
    from bqdump.adapters.bigquery import BigQueryWarehouse
    from bqdump.adapters.limits import PacedWarehouse
    from bqdump.adapters.retry import RetryingWarehouse

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
