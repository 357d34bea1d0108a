"""Ports for one piece of work: each is opened when it is first asked for, and all are closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import msgspec

from bqdump.adapters.lean_imports import keep_imported
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.ports.store import ObjectStore
from bqdump.repository.repository import naming_missing_bucket
from bqdump.services.keys import open_signer
from bqdump.services.opening import LazyReadRoute, open_destination, open_store, open_warehouse

if TYPE_CHECKING:
    from bqdump.adapters.bigquery.destination import BigQueryDestination
    from bqdump.ports.signer import Signer
    from bqdump.ports.warehouse import Warehouse
    from bqdump.retain.survey import AtWork

Answer = TypeVar("Answer")


class Services:
    """What one of `tasks` tasks works on. patient: for a run, which retries longer than other commands."""

    def __init__(self, settings: Settings, tasks: int = 1, *, patient: bool = False) -> None:
        self._settings, self._tasks, self._patient = settings, tasks, patient
        # By the address of the bucket or folder, which several prefixes may share.
        self._stores: dict[str, ObjectStore] = {}
        self.read_route = LazyReadRoute(settings, patient=patient)

    @property
    def store(self) -> ObjectStore:
        """The target."""
        return self.store_at(self._settings.target)

    def store_at(self, target: Target) -> ObjectStore:
        """Any target, such as the bucket that a restore loads through."""
        if target.url not in self._stores:
            self._stores[target.url] = open_store(_settings_at(self._settings, target), patient=self._patient)
        return self._stores[target.url]

    @cached_property
    def warehouse(self) -> Warehouse:
        """The source of exports."""
        return open_warehouse(self._settings, self._tasks, patient=self._patient)

    @cached_property
    def signer(self) -> Signer | None:
        """What signs manifests, None where nothing does."""
        return open_signer(self._settings)

    @property
    def at_work(self) -> AtWork | None:
        """Lists the jobs of a run that are at work; None where no project is known that has them."""
        return self.warehouse.at_work if self._settings.jobs_in else None

    @cached_property
    def destination(self) -> BigQueryDestination:
        """What a restore writes to."""
        return open_destination(self._settings, self._tasks, patient=self._patient)

    async def close(self) -> None:
        """Close what was opened."""
        await self.read_route.close()
        for store in self._stores.values():
            await store.close()
        for name in ("warehouse", "destination"):
            if port := vars(self).get(name):
                await port.close()


@asynccontextmanager
async def opened(settings: Settings, tasks: int = 1, *, patient: bool = False) -> AsyncIterator[Services]:
    """What these settings name, for one of `tasks` tasks. patient: see Services.

    Raises NotFoundError about the bucket instead of what was not found in it, if the bucket does not exist.
    """
    services = Services(settings, tasks, patient=patient)
    try:
        # Whatever is done needs the target.
        store = services.store
        keep_imported()
        async with naming_missing_bucket(store):
            yield services
    finally:
        await services.close()


async def serve(
    settings: Settings, work: Callable[[Services], Awaitable[Answer]], tasks: int = 1, *, patient: bool = False
) -> Answer:
    """The result of work on what these settings name. Parameters: see opened."""
    async with opened(settings, tasks, patient=patient) as services:
        return await work(services)


def _settings_at(settings: Settings, target: Target) -> Settings:
    return msgspec.structs.replace(settings, target=target)
