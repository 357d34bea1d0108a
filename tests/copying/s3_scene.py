"""An export, and locked copies of its runs in S3, where a locked object can be hidden or another be put over it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from botocore.session import Session
from moto.s3 import models

from bqdump.adapters.movers import StreamMover
from bqdump.adapters.s3.requests import generation_of
from bqdump.adapters.s3.store import S3Store
from bqdump.check.findings import Verified
from bqdump.check.verify import verify
from bqdump.copying.run import copy
from bqdump.copying.survey import Locking, Place, Task
from bqdump.core.copy.plan import Copied
from bqdump.core.retention.policy import Policy, policy_for
from bqdump.core.retention.pruned import Pruned
from bqdump.core.settings.target import Target
from bqdump.ports.store import Lock
from bqdump.repository.published import read_latest
from bqdump.retain.prune import prune
from bqdump.retain.survey import Task as Pruning
from copying.scene import ALONE, Copies
from retain.scene import DAY
from s3_server import S3Server

STATE = "copies/_bqdump"
BLIND = frozenset({"s3:PutObject", "s3:PutObjectRetention", "s3:GetObject", "s3:GetObjectRetention", "s3:ListBucket"})


class Vault:
    """A bucket with Object Lock. later: how far the server's clock is ahead of this machine's, which copies have."""

    def __init__(self, served: S3Server, bucket: str, patch: pytest.MonkeyPatch) -> None:
        self.served, self.bucket = served, bucket
        self.s3: Any = Session().create_client("s3", endpoint_url=served.address)
        self.s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        self.copies = Copies()
        self.there = msgspec.structs.replace(self.copies.settings, target=Target("s3", bucket, "copies/"))
        self.now = int(models.utcnow().timestamp()) * 1000
        self.later, now = timedelta(), models.utcnow
        patch.setattr(models, "utcnow", lambda: now() + self.later)

    def store(self, lock: Lock | None = None) -> S3Store:
        """A store, as a command has it that begins now."""
        return S3Store(self.bucket, self.served.address, lock=lock)

    def copy(self, *runs: str, days: int = 35, blind: bool = False) -> Copied:
        """Copy these runs, two seconds after all that is there was stored, so that it has other generations.

        blind: without the permission to list versions.
        """
        self.later += timedelta(seconds=2)
        until, source = self.now + days * DAY, self.copies.source.store
        store = self.store(Lock(until))
        sides = Place(source, self.copies.settings), Place(store, self.there)
        locking = Locking(store, until, "governance", lambda: self.now)
        task = Task(*sides, StreamMover(source, store), ALONE, self.now, lock=locking)
        self.served.allowed = BLIND if blind else None
        try:
            return asyncio.run(copy(task, runs, Policy(), every=False))
        finally:
            self.served.allowed = None

    def verify(self, run: str = "") -> Verified:
        """A verification of a run, by default of the published one."""
        return asyncio.run(verify(self.store(), self.there, run))

    def published(self) -> str:
        """The run that readers find."""
        latest = asyncio.run(read_latest(self.store(), self.there))
        return latest.run if latest else ""

    def prune(self, **settings: Any) -> Pruned:
        """Prune by this policy, once all locks have ended."""
        self.served.end_locks(self.bucket)
        chosen = msgspec.structs.replace(self.there, **settings)
        task = Pruning(self.store(), chosen, policy_for(chosen, ()), self.now, delete=True)
        return asyncio.run(prune(task))

    def put(self, name: str, data: bytes, **options: Any) -> str:
        """Put an object there as a thief does, over another one or not; its version."""
        self.later += timedelta(seconds=2)
        answer = self.s3.put_object(Bucket=self.bucket, Key=name, Body=data, ChecksumAlgorithm="CRC32", **options)
        return str(answer["VersionId"])

    def hide(self, name: str) -> None:
        """Put a delete marker over an object."""
        self.s3.delete_object(Bucket=self.bucket, Key=name)

    def versions(self, name: str = "") -> list[str]:
        """What is kept of the objects whose names begin so, the newest version of each first."""
        answer = self.s3.list_object_versions(Bucket=self.bucket, Prefix=name)
        return [one["VersionId"] for one in answer.get("Versions", ())]

    def generations(self, name: str) -> list[int]:
        """The same, as a store has them."""
        answer = self.s3.list_object_versions(Bucket=self.bucket, Prefix=name)
        return [generation_of(one["ETag"], one["LastModified"]) for one in answer.get("Versions", ())]

    def names(self) -> list[str]:
        """The names of all objects, also of those that are hidden."""
        answer = self.s3.list_object_versions(Bucket=self.bucket)
        return sorted({one["Key"] for one in answer.get("Versions", ())})

    def shared(self) -> str:
        """The name of a file that all runs share."""
        return next(name for name in self.names() if "/sales_" in name)


def kinds(verified: Verified) -> set[str]:
    """What a verification has found."""
    return {str(finding.kind) for finding in verified.findings}
