"""The notes on drills, from one listing; signing them, and which of them are signed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, cast

from msgspec.structs import replace

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode
from bqdump.core.documents.document import STATE
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.notes import encode_note
from bqdump.core.documents.signature import Signature, envelope_of_drill
from bqdump.core.documents.target import Drill
from bqdump.core.errors import DocumentError
from bqdump.core.restore.drill import Restorable, restorable, without_namesakes
from bqdump.core.settings.target import Target
from bqdump.ports.signer import Signer, TrustedKeys
from bqdump.ports.store import Note, ObjectStore
from bqdump.repository.repository import create, value_of

DRILL = re.compile(rf"(?:.*/)?{STATE}/drills/[^/]+\.json", re.DOTALL)
SIGNATURES_AT_ONCE = 16


async def read_drills(store: ObjectStore, layout: Layout) -> list[Drill]:
    """All drills of a target, the earliest first. One request for 1,000 drills. Unreadable notes are left out."""
    drills = []
    async for page in store.notes(layout.drills):
        for note in page:
            with suppress(DocumentError):
                drills.append(decode(note.data, Drill, note.name))
    return sorted(drills, key=lambda drill: drill.began)


async def read_proof(store: ObjectStore, layout: Layout, run: str, taken: datetime | None) -> Restorable:
    """What drills have proven about the exports of a target. taken: the snapshot time of this run."""
    return restorable(without_namesakes(await read_drills(store, layout), {run: taken}))


def proven_together(proofs: Mapping[str, Restorable]) -> Restorable | None:
    """What drills have proven about a set, from its datasets' proofs: the oldest one decides. None without any."""
    if not proofs:
        return None
    problem = next((f"{name}: {proof.problem}" for name, proof in proofs.items() if proof.problem), "")
    proven = [proof.proven for proof in proofs.values() if proof.proven]
    if len(proven) < len(proofs):
        return Restorable(problem=problem)
    tables, of = sum(proof.tables for proof in proofs.values()), sum(proof.of for proof in proofs.values())
    every = [proof.all_proven for proof in proofs.values() if proof.all_proven]
    return Restorable(min(proven), "", tables, of, problem, min(every) if len(every) == len(proofs) else None)


async def sign_drill(
    store: ObjectStore, target: Target, layout: Layout, name: str, note: Drill, signer: Signer
) -> None:
    """Sign the note on a drill that is about to be stored under this object name, so that none is left without."""
    unsigned = envelope_of_drill(encode_note(note), name, "" if target.folder else str(target))
    signature = Signature(await signer.key_id(), await signer.sign(unsigned.signed))
    await create(store, layout.drill_signature(name), replace(unsigned, signatures=(signature,)))


async def signed_drills(store: ObjectStore, target: Target, layout: Layout, keys: TrustedKeys) -> list[Drill]:
    """The drills whose notes one of the keys has signed for this place, the earliest first."""
    return await read_drills(store_of_signed_drills(store, target, keys), layout)


def store_of_signed_drills(store: ObjectStore, target: Target, keys: TrustedKeys) -> ObjectStore:
    """A store that lists no notes on drills but those that one of the keys has signed for the place they are in."""
    return cast("ObjectStore", _SignedDrills(store, target, keys))


class _SignedDrills:
    def __init__(self, store: ObjectStore, target: Target, keys: TrustedKeys) -> None:
        self._store, self._target, self._keys = store, target, keys
        # By name and generation: the console lists them time and again.
        self._signed = set[tuple[str, int]]()

    def __getattr__(self, name: str) -> Any:
        """All but listing notes is the store's."""
        return getattr(self._store, name)

    async def notes(self, prefix: str, start: str = "") -> AsyncIterator[list[Note]]:
        """See ObjectStore."""
        async for page in self._store.notes(prefix, start):
            drills = [note for note in page if DRILL.fullmatch(note.name)]
            signed = await gathered(self._is_signed, drills, SIGNATURES_AT_ONCE) if drills else []
            refused = {note.name for note, counts in zip(drills, signed, strict=True) if not counts}
            yield [note for note in page if note.name not in refused]

    async def _is_signed(self, note: Note) -> bool:
        if (note.name, note.generation) in self._signed:
            return True
        prefix = note.name.rpartition(f"{STATE}/drills/")[0]
        target = "" if self._target.folder else str(replace(self._target, prefix=prefix))
        expected = envelope_of_drill(note.data, note.name, target)
        try:
            envelope = await value_of(self._store, Layout(prefix).drill_signature(note.name))
        except DocumentError:
            return False
        if envelope is None or envelope.payload != expected.payload:
            return False
        signed = any(self._keys.has_signed(signature.sig, expected.signed) for signature in envelope.signatures)
        self._signed.update([(note.name, note.generation)] if signed else [])
        return signed
