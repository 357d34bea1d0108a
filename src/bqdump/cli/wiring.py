"""What the commands open, in a process that imports no more than it needs."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Mapping
from typing import ParamSpec, TypeVar

from bqdump.adapters.lean_imports import import_lean
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.ports.destination import Destination
from bqdump.ports.store import ObjectStore
from bqdump.restoration.task import Via
from bqdump.services import opening, serving
from bqdump.services.opening import Services
from bqdump_claims.run import Ports

Answer = TypeVar("Answer")
Given = ParamSpec("Given")


def open_store(settings: Settings, *, patient: bool = False) -> ObjectStore:
    """The target of the export. patient: see opening.open_store."""
    import_lean()
    return opening.open_store(settings, patient=patient)


def ask_store(
    settings: Settings, question: Callable[[ObjectStore], Awaitable[Answer]], *, patient: bool = False
) -> Answer:
    """Ask the target the question. patient: see opening.open_store."""
    import_lean()
    return asyncio.run(serving.ask(settings, question, patient=patient))


def ask_each(
    settings: Settings, question: Callable[[ObjectStore, Settings], Awaitable[Answer]], *, patient: bool = False
) -> list[Answer]:
    """Ask every target of these settings the question. See serving.ask_each."""
    import_lean()
    return asyncio.run(serving.ask_each(settings, question, patient=patient))


def serve_each(settings: Settings, work: Callable[[Services, Settings], Awaitable[Answer]]) -> list[Answer]:
    """Do the work on the source and every target of these settings. See serving.serve_each."""
    import_lean()
    return asyncio.run(serving.serve_each(settings, work))


async def serve(
    settings: Settings, work: Callable[[Services], Awaitable[Answer]], tasks: int = 1, *, patient: bool = False
) -> Answer:
    """Do the work on source and target, for one of this many tasks. patient: see opening.open_store."""
    import_lean()
    return await serving.serve(settings, _frozen(work), tasks, patient=patient)


async def serve_set(
    settings: Settings,
    work: Callable[[Services, Mapping[Target, ObjectStore]], Awaitable[Answer]],
    tasks: int = 1,
    *,
    patient: bool = False,
) -> Answer:
    """Do the work on the source and the targets of a set of datasets. See serving.serve_set."""
    import_lean()
    return await serving.serve_set(settings, _frozen(work), tasks, patient=patient)


async def serve_restore(
    settings: Settings,
    via: Target | None,
    work: Callable[[serving.Stores, Destination, Via | None], Awaitable[Answer]],
    tasks: int = 1,
) -> Answer:
    """Do the work on an export and what a restore writes to. See serving.serve_restore."""
    import_lean()
    return await serving.serve_restore(settings, via, _frozen(work), tasks)


async def serve_check(settings: Settings, work: Callable[[Ports], Awaitable[Answer]]) -> Answer:
    """Do the work of a check of the services. See serving.serve_check."""
    import_lean()
    return await serving.serve_check(settings, work)


def _frozen(work: Callable[Given, Awaitable[Answer]]) -> Callable[Given, Awaitable[Answer]]:

    def begin(*given: Given.args, **named: Given.kwargs) -> Awaitable[Answer]:
        # What imports have made stays: garbage collection need not look at it, now or later.
        gc.freeze()
        return work(*given, **named)

    return begin
