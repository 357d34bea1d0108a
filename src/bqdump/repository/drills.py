"""The notes on drills, from one listing; signing them, and which of them are signed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, cast

from msgspec import structs

from bqdump.concurrency import gathered
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.document import STATE
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.manifest_index import Contents
from bqdump.core.documents.notes import encode_note
from bqdump.core.documents.signature import Signature, envelope_of_drill
from bqdump.core.documents.target import Drill, Proofs
from bqdump.core.errors import DocumentError
from bqdump.core.restore.drill import Proof, Restorable, add_up, restorable
from bqdump.core.restore.objects import RESTORABLE
from bqdump.core.settings.target import Target
from bqdump.core.times import milliseconds_of
from bqdump.ports.signer import Signer, TrustedKeys
from bqdump.ports.store import Note, ObjectStore
from bqdump.repository.log import log_refused
from bqdump.repository.manifests import read_contents
from bqdump.repository.objects import write_once
from bqdump.repository.repository import create, read, value_of

DRILL = re.compile(rf"(?:.*/)?{STATE}/drills/[^/]+\.json", re.DOTALL)
SIGNATURES_AT_ONCE = 16
PROOFS_AT_ONCE = 32


async def read_drills(store: ObjectStore, layout: Layout) -> list[Drill]:
    """All drills of a target, the earliest first. One request for 1,000 drills. Unreadable notes are logged."""
    drills = []
    async for page in store.notes(layout.drills):
        for note in page:
            try:
                drills.append(decode(note.data, Drill, note.name))
            except DocumentError as error:
                log_refused(note.name, error)
    return sorted(drills, key=lambda drill: drill.began)


async def read_proof(store: ObjectStore, layout: Layout, run: str) -> Restorable:
    """What drills have proven of a run; nothing while it has no manifest."""
    with suppress(DocumentError):
        if contents := await read_contents(store, layout.run(run)):
            return (await proof_of(store, layout, contents, await read_drills(store, layout))).restorable
    return Restorable()


async def proof_of(store: ObjectStore, layout: Layout, contents: Contents, drills: Sequence[Drill]) -> Proof:
    """What these drills have proven of a run. drills: of all runs, the earliest first.

    One read for each drill, the newest first, until every table has a proof.
    """
    wanted = {line.table: contents.files_of(line) for line in contents.tables if line.kind not in RESTORABLE}
    noted = [drill for drill in drills if drill.proofs]
    found: list[tuple[Drill, Proofs]] = []
    undecided = set(wanted)
    while noted and undecided:
        some, noted = noted[-PROOFS_AT_ONCE:], noted[:-PROOFS_AT_ONCE]
        read = await gathered(lambda drill: _proofs(store, layout, drill), some, PROOFS_AT_ONCE)
        found[:0] = [(drill, proofs) for drill, proofs in zip(some, read, strict=True) if proofs]
        for proofs in filter(None, read):
            tables = (*proofs.proven.items(), *proofs.different.items())
            undecided -= {table for table, files in tables if wanted.get(table) == files}
    proven = add_up(wanted, found)
    own = [drill for drill in drills if (drill.run, drill.snapshot) == (contents.run, contents.snapshot)]
    others = [drill for drill in drills if drill.run != contents.run or drill in own]
    return Proof(restorable(proven, len(wanted) + len(contents.failed), own, others), proven)


async def _proofs(store: ObjectStore, layout: Layout, drill: Drill) -> Proofs | None:
    """The tables that a drill has proven; None, and a line in the log, where they are not those of its note."""
    document, cause = layout.proofs(drill.proofs), "it does not exist"
    with suppress(DocumentError):
        if stored := await read(store, document):
            cause = "it is damaged"
            if sha256(stored.data).hexdigest() == drill.proofs:
                return decode(stored.data, Proofs, document.name)
    log_refused(document.name, DocumentError("read", document.name, cause))
    return None


def proven_together(proofs: Mapping[str, Restorable]) -> Restorable | None:
    """What drills have proven of a set, from its datasets' proofs. None without any."""
    if not proofs:
        return None
    problem = next((f"{name}: {proof.problem}" for name, proof in proofs.items() if proof.problem), "")
    tables, of = sum(proof.tables for proof in proofs.values()), sum(proof.of for proof in proofs.values())
    newest = max((proof.proven for proof in proofs.values() if proof.proven), default=None)
    oldest = min((proof.oldest for proof in proofs.values() if proof.oldest), default=None)
    return Restorable(newest, "", tables, of, problem, oldest)


async def with_proofs(
    store: ObjectStore, layout: Layout, contents: Contents, note: Drill, proven: Sequence[str], different: Sequence[str]
) -> Drill:
    """The note on a drill of a run, with what it adds to the proofs of earlier drills. The tables are stored."""
    files = {line.table: contents.files_of(line) for line in contents.tables}
    both = [{name: files[name] for name in names if name in files} for names in (proven, different)]
    if not any(both):
        return note
    proofs = Proofs(proven=both[0], different=both[1])
    content = encode(proofs)
    digest = sha256(content).hexdigest()
    await write_once(store, layout.proofs(digest).name, content)
    note = structs.replace(note, proofs=digest)
    found = (await proof_of(store, layout, contents, [*await read_drills(store, layout), note])).restorable
    return structs.replace(note, altogether=found.tables, oldest=milliseconds_of(found.oldest) if found.oldest else 0)


async def sign_drill(
    store: ObjectStore, target: Target, layout: Layout, name: str, note: Drill, signer: Signer
) -> None:
    """Sign the note on a drill that is about to be stored under this object name, so that none is left without."""
    unsigned = envelope_of_drill(encode_note(note), name, "" if target.folder else str(target))
    signature = Signature(await signer.key_id(), await signer.sign(unsigned.signed))
    await create(store, layout.drill_signature(name), structs.replace(unsigned, signatures=(signature,)))


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
        target = "" if self._target.folder else str(structs.replace(self._target, prefix=prefix))
        expected = envelope_of_drill(note.data, note.name, target)
        try:
            envelope = await value_of(self._store, Layout(prefix).drill_signature(note.name))
        except DocumentError as error:
            log_refused(error.subject, error)
            return False
        if envelope is None or envelope.payload != expected.payload:
            return False
        signed = any(self._keys.has_signed(signature.sig, expected.signed) for signature in envelope.signatures)
        self._signed.update([(note.name, note.generation)] if signed else [])
        return signed
