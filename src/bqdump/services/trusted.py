"""Stores that return only manifests which the settings trust."""

from __future__ import annotations

import time

from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import days_text
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import StoreAt
from bqdump.services.keys import open_trusted


def trusting(store_at: StoreAt, settings: Settings, run: str = "") -> StoreAt:
    """The stores, of which each checks the signature and the age of manifests if the settings demand that.

    run: the run that was named; "" for the published one, whose age is checked. Raises UsageError about a key.
    """
    within = None if run else settings.newest_within
    if not settings.trust and not within:
        return store_at
    # What runs without --trust and --newest-within need not load.
    from bqdump.repository.signatures import Trust, TrustingStore

    one = "" if settings.names_several else settings.dataset
    oldest = int((time.time() - within) * 1000) if within else 0
    trust = Trust(open_trusted(settings), settings.project, one, oldest, days_text(within) if within else "")

    def trusted(target: Target) -> ObjectStore:
        return TrustingStore(store_at(target), target, trust)

    return trusted
