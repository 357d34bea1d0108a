"""The keys that settings name: PEM files, variables that contain one, and keys in Cloud KMS.

Stores that return only manifests which the settings trust.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from msgspec.structs import replace

from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.settings.values import KMS_KEY, VARIABLE
from bqdump.core.times import days_text
from bqdump.ports.signer import Signer, TrustedKeys
from bqdump.ports.store import ObjectInfo, ObjectStore, Stored
from bqdump.services.opening import patience_for

if TYPE_CHECKING:
    from bqdump.repository.exports import StoreAt

Key = TypeVar("Key")
# No PEM file with one key is larger.
MOST_BYTES = 16_384


def open_signer(settings: Settings) -> Signer | None:
    """The key that signs manifests, None without one. Raises UsageError, which never has any of the key."""
    if not settings.sign:
        return None
    if settings.sign.startswith(KMS_KEY):
        from bqdump.adapters.google.endpoints import KMS
        from bqdump.adapters.google.kms import KmsKey

        return KmsKey(settings.sign.removeprefix(KMS_KEY), patience_for(settings, KMS, patient=True))
    from bqdump.adapters.signing_keys import FileKey, private_key

    return FileKey(_key(settings.sign, private_key, "sign"))


def open_trusted(settings: Settings) -> TrustedKeys | None:
    """The keys whose signatures are trusted, None where signatures are not looked at. Raises UsageError."""
    if not settings.trust:
        return None
    from bqdump.adapters.signing_keys import FileKeys, public_key

    return FileKeys([_key(named, public_key, "trust") for named in settings.trust])


def _key(named: str, read: Callable[[bytes], Key], setting: str) -> Key:
    try:
        return read(_pem(named))
    except ValueError as error:
        hint = "Make a pair: bqdump keys new NAME"
        raise UsageError("use", named, str(error), hint, setting=setting) from None
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise UsageError("read", named, cause, "Name a PEM file, or env:VARIABLE.", setting=setting) from None


def _pem(named: str) -> bytes:
    """Raises OSError for a file that cannot be read, ValueError for a variable that is not set."""
    if named.startswith(VARIABLE):
        variable = named.removeprefix(VARIABLE)
        if not (content := os.environ.get(variable)):
            raise ValueError("the variable is not set")
        return content.encode()
    with Path(named).open("rb") as file:
        return file.read(MOST_BYTES)


def trusting(store_at: StoreAt, settings: Settings, run: str = "") -> StoreAt:
    """The stores. Each checks the signature and the age of manifests, if the settings require that.

    run: the run that was named; "" for the published one, whose age is checked. Raises UsageError about a key.
    """
    within = None if run else settings.newest_within
    if not settings.trust and not within:
        return store_at
    # What runs without --trust and --newest-within need not load.
    from bqdump.repository.signatures import Trust, trusting_store

    dataset = "" if settings.names_several else settings.dataset
    oldest = int((time.time() - within) * 1000) if within else 0
    trust = Trust(open_trusted(settings), settings.project, dataset, oldest, days_text(within) if within else "")

    def trusted(target: Target) -> ObjectStore:
        return trusting_store(store_at(target), target, trust)

    return trusted


def remembering(store: ObjectStore, settings: Settings) -> ObjectStore | None:
    """The store that trusts the keys, however old a run is; None without keys. Raises UsageError about a key.

    A manifest that is trusted stays so as long as its generation is the same; another one is checked each time.
    """
    if not settings.trust:
        return None
    trusted = trusting(lambda _: store, replace(settings, newest_within=None))(settings.target)
    return cast("ObjectStore", _Remembering(store, trusted))


# Larger manifests are read each time: the console of a place with many runs keeps little in memory.
REMEMBERED_BYTES = 100_000


class _Remembering:
    def __init__(self, store: ObjectStore, trusting: ObjectStore) -> None:
        self._store, self._trusting = store, trusting
        self._trusted = set[tuple[str, int]]()
        self._read = dict[str, Stored]()

    def __getattr__(self, name: str) -> Any:
        """All but stat and read is the other store's."""
        return getattr(self._trusting, name)

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore. Of a run that is trusted, a small manifest is read once."""
        if start or length is not None or not name.endswith("/manifest.json"):
            return await self._trusting.read(name, start, length)
        known = self._read.get(name)
        if known and (info := await self._store.stat(name)) and info.generation == known.generation:
            return known
        stored = await self._trusting.read(name)
        if len(stored.data) <= REMEMBERED_BYTES:
            self._read[name] = stored
        return stored

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore."""
        info = await self._store.stat(name)
        if info is None or not name.endswith("/manifest.json") or (name, info.generation) in self._trusted:
            return info
        if info := await self._trusting.stat(name):
            self._trusted.add((name, info.generation))
        return info


def with_signed_drills(store_at: StoreAt, settings: Settings) -> StoreAt:
    """The stores. Where keys are trusted, drills count there only if one of them has signed their notes.

    Raises UsageError about a key.
    """
    keys = open_trusted(settings)
    if keys is None:
        return store_at
    from bqdump.repository.drills import store_of_signed_drills

    stores = dict[Target, ObjectStore]()

    def signed(target: Target) -> ObjectStore:
        if target not in stores:
            stores[target] = store_of_signed_drills(store_at(target), target, keys)
        return stores[target]

    return signed
