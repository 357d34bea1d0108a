"""Ports that are opened for one piece of work, and closed after it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

import msgspec

from bqdump.core.errors import NotFoundError
from bqdump.core.project.selection import all_targets, targets_of
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.ports.destination import Destination
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import read_latest, with_bucket
from bqdump.services.opening import Services, open_destination, open_services, open_store
from bqdump.services.read_route import LazyReadRoute

if TYPE_CHECKING:
    from bqdump.restoration.task import Via
    from bqdump_claims.run import Ports

Answer = TypeVar("Answer")


Stores = Mapping[Target, ObjectStore]


async def serve_restore(
    settings: Settings,
    via: Target | None,
    work: Callable[[Stores, Destination, Via | None], Awaitable[Answer]],
    tasks: int = 1,
) -> Answer:
    """Open the export, what a restore writes to, and the bucket that it loads through; do the work, and close them.

    An export of several datasets may have a bucket for each location, so work is given the store of each target.
    """
    from bqdump.restoration.task import Via

    stores = {target: open_store(_at(settings, target), patient=True) for target in all_targets(settings)}
    first = next(iter(stores.values()))
    through = Via(open_store(_at(settings, via), patient=True), via) if via else None
    destination = open_destination(settings, tasks, patient=True)
    try:
        return await with_bucket(first, work(stores, destination, through))
    finally:
        for store in stores.values():
            await store.close()
        if through:
            await through.store.close()
        await destination.close()


async def serve_check(settings: Settings, work: Callable[[Ports], Awaitable[Answer]]) -> Answer:
    """Open what a check of the services works on, do the work, and close it."""
    from bqdump.adapters.bigquery_destination import BigQueryDestination
    from bqdump.adapters.endpoints import LED
    from bqdump_claims.run import Ports

    store, destination, route = open_store(settings), open_destination(settings, 1), LazyReadRoute(settings)
    streaming = BigQueryDestination(settings.jobs_in)
    google = not any(os.environ.get(endpoint.variable) for endpoint in LED)
    try:
        return await with_bucket(store, work(Ports(destination, store, route.open, google, streaming.stream)))
    finally:
        await route.close()
        await store.close()
        await streaming.close()
        await destination.close()


async def ask(
    settings: Settings, question: Callable[[ObjectStore], Awaitable[Answer]], *, patient: bool = False
) -> Answer:
    """Open the target, ask it the question, and close it. patient: see open_store."""
    store = open_store(settings, patient=patient)
    try:
        return await with_bucket(store, question(store))
    finally:
        await store.close()


async def serve(
    settings: Settings, work: Callable[[Services], Awaitable[Answer]], tasks: int = 1, *, patient: bool = False
) -> Answer:
    """Open source and target for one of this many tasks, do the work, and close them. patient: see open_store."""
    services = open_services(settings, tasks, patient=patient)
    try:
        return await work(services)
    finally:
        await services.close()


async def serve_set(
    settings: Settings,
    work: Callable[[Services, Mapping[Target, ObjectStore]], Awaitable[Answer]],
    tasks: int = 1,
    *,
    patient: bool = False,
) -> Answer:
    """The same for a set of datasets, with the store of each target that the set may go to."""
    first, *others = targets_of(settings)
    services = open_services(_at(settings, first), tasks, patient=patient)
    stores = {first: services.store}
    try:
        for target in others:
            stores[target] = open_store(_at(settings, target), patient=patient)
        return await work(services, stores)
    finally:
        for target, store in stores.items():
            if target != first:
                await store.close()
        await services.close()


async def ask_each(
    settings: Settings, question: Callable[[ObjectStore, Settings], Awaitable[Answer]], *, patient: bool = False
) -> list[Answer]:
    """Ask every target of these settings the question: one, or for a set of datasets one for each location.

    Raises NotFoundError if none of them has what the question is about.
    """

    async def one(at: Settings, then: Callable[[ObjectStore], Awaitable[bool]]) -> tuple[Answer, bool]:
        async def answer(store: ObjectStore) -> tuple[Answer, bool]:
            return await question(store, at), await then(store)

        return await ask(at, answer, patient=patient)

    return await _each(settings, one)


async def serve_each(settings: Settings, work: Callable[[Services, Settings], Awaitable[Answer]]) -> list[Answer]:
    """The same with work on source and target."""

    async def one(at: Settings, then: Callable[[ObjectStore], Awaitable[bool]]) -> tuple[Answer, bool]:
        async def answer(services: Services) -> tuple[Answer, bool]:
            return await work(services, at), await then(services.store)

        return await serve(at, answer)

    return await _each(settings, one)


async def _each(
    settings: Settings,
    one: Callable[[Settings, Callable[[ObjectStore], Awaitable[bool]]], Awaitable[tuple[Answer, bool]]],
) -> list[Answer]:
    """The answers of the targets. one: of a target, and whether it holds the export of a single dataset.

    Then its folder was named, so the sets of other locations are not asked for.
    """
    answers: list[Answer] = []
    missing: NotFoundError | None = None
    targets = all_targets(settings)
    for target in targets:
        at = _at(settings, target)

        async def holds_one(store: ObjectStore, at: Settings = at) -> bool:
            return len(targets) > 1 and await read_latest(store, at) is not None

        try:
            answer, last = await one(at, holds_one)
        except NotFoundError as error:
            missing = missing or error
            continue
        answers.append(answer)
        if last:
            break
    if missing and not answers:
        raise missing
    return answers


def _at(settings: Settings, target: Target) -> Settings:
    return msgspec.structs.replace(settings, target=target)
