"""The evidence about a run: its manifest as it is stored, and the drills that restored it."""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from bqdump.core.documents.codec import decode
from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import BUCKET, S3, Target
from bqdump.core.sizes import counted
from bqdump.pages.evidence import Stored, render_evidence
from bqdump.ports.store import ObjectStore
from bqdump.repository.exports import SetAt
from bqdump.repository.notes import read_drills
from bqdump.repository.published import name_a_dataset, read_manifest


async def evidence_page(store: ObjectStore, settings: Settings, run: str = "") -> tuple[str, bytes]:
    """The name of a run (default: the published run) and the page with the evidence about it.

    Raises NotFoundError.
    """
    name = run or (await read_manifest(store, settings)).run
    await read_manifest(store, settings, name)
    document = settings.layout.run(name).manifest
    found = await store.read(document.name)
    manifest = decode(found.data, document.type, document.name)
    address, check = _where(settings.target, document.name)
    digest = hashlib.sha256(found.data).hexdigest()
    stored = Stored(address, check, len(found.data), digest, found.generation)
    drills = [drill for drill in await read_drills(store, settings.layout) if drill.run == name]
    return name, render_evidence(manifest, stored, drills, int(time.time() * 1000))


async def refuse_set(sets: Sequence[SetAt]) -> tuple[str, bytes]:
    """Raise UsageError: each dataset of a set has evidence of its own."""
    at = sets[0]
    cause = f"this is a set of {counted(len(at.names), 'dataset')}, each with evidence of its own"
    raise UsageError("report", str(at.settings.target), cause, f"Name one: {name_a_dataset(at.settings, at.names[0])}")


def refuse_changes(since: str) -> None:
    """Raise UsageError if changes are requested as well."""
    if since:
        cause = "the evidence about a run has no changes since another one"
        raise UsageError("report", "", cause, "Leave one of them out.", setting="since")


def _where(target: Target, name: str) -> tuple[str, str]:
    """The address of an object, and the command that prints its SHA-256."""
    if target.folder:
        path = str(Path(target.folder).absolute() / name)
        return path, f"sha256sum {shlex.quote(path)}"
    address = target.uri(name)
    copied = {BUCKET: "gcloud storage cat {}", S3: "aws s3 cp {} -"}[target.scheme].format(shlex.quote(address))
    return address, f"{copied} | sha256sum"
