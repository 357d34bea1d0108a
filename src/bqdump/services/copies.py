"""Both sides of a copy, opened for one piece of work, and what moves files between them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec

from bqdump.adapters.lean_imports import keep_imported
from bqdump.adapters.retry import RetryingStore
from bqdump.copying.survey import Place
from bqdump.core.copy.plan import Request
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import BUCKET, S3
from bqdump.ports.mover import Mover
from bqdump.ports.store import Lock, Locks, ObjectStore
from bqdump.repository.repository import naming_missing_bucket
from bqdump.services.keys import trusting
from bqdump.services.opening import open_s3, open_store, patience_for


class Sides(NamedTuple):
    """The two places of a copy, and what moves files from one to the other. locks: what locks those of the target."""

    source: Place
    target: Place
    mover: Mover
    locks: Locks | None


@asynccontextmanager
async def opened_copy(settings: Settings, request: Request, lock: Lock | None = None) -> AsyncIterator[Sides]:
    """Both places of a copy, and what moves files.

    settings: of the source.
    lock: of all objects of the target.

    Where the settings name keys to trust, the source has no runs but those that one of them has signed.
    Raises NotFoundError about a bucket instead of what was not found in it, if the bucket does not exist.
    """
    into = msgspec.structs.replace(settings, target=request.target)
    source = open_store(settings, patient=True)
    # How old a run may be is not a matter of trust here: the rules say which are copied.
    trusted = trusting(lambda _: source, msgspec.structs.replace(settings, newest_within=None))(settings.target)
    target = _open_target(into, request.storage_class, lock)
    mover = _open_mover(settings, into, request, source, target, lock)
    keep_imported()
    try:
        locks = target if lock and isinstance(target, RetryingStore) else None
        async with naming_missing_bucket(source, target):
            yield Sides(Place(trusted, settings, source), Place(target, into), mover, locks)
    finally:
        await mover.close()
        await source.close()
        await target.close()


def _open_target(settings: Settings, storage_class: str, lock: Lock | None) -> ObjectStore:
    if settings.target.scheme == S3 and lock:
        return open_s3(settings, patient=True, lock=lock)
    if settings.target.scheme != BUCKET:
        return open_store(settings, patient=True)
    from bqdump.adapters.gcs.store import CloudStore
    from bqdump.adapters.google.endpoints import STORAGE

    patience = patience_for(settings, STORAGE, patient=True)
    bucket, key = settings.target.bucket, settings.kms_key
    return RetryingStore(CloudStore(bucket, settings.jobs_in, key, patience, storage_class, lock), patience)


def _open_mover(
    settings: Settings,
    into: Settings,
    request: Request,
    source: ObjectStore,
    target: ObjectStore,
    lock: Lock | None,
) -> Mover:
    if settings.target.scheme == into.target.scheme == BUCKET:
        from bqdump.adapters.gcs.rewrite import RewriteMover
        from bqdump.adapters.google.endpoints import STORAGE

        return RewriteMover(
            settings.target.bucket,
            into.target.bucket,
            target,
            settings.jobs_in,
            patience_for(settings, STORAGE, patient=True),
            storage_class=request.storage_class,
            kms_key=settings.kms_key,
            lock=lock,
        )
    from bqdump.adapters.movers import StreamMover
    from bqdump.file_content import Pace

    return StreamMover(source, target, Pace(request.limit) if request.limit else None)
