"""Signing the manifest of a run, and reading only manifests that a trusted key has signed."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from typing import Any, NamedTuple, cast

import msgspec
from msgspec.structs import replace

from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.document import STATE
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run_layout import RunLayout, names_beside
from bqdump.core.documents.sets import SetManifest
from bqdump.core.documents.signature import SHA256, Envelope, Signature, Statement, envelope_of, statement_of
from bqdump.core.documents.target import SET
from bqdump.core.errors import DocumentError, OutdatedError, UntrustedError, VerificationError
from bqdump.core.settings.target import Target
from bqdump.core.times import parse_time
from bqdump.ports.signer import Signer, TrustedKeys
from bqdump.ports.store import Abilities, ObjectInfo, ObjectStore, Stored
from bqdump.repository.objects import names_of_signatures, read_object
from bqdump.repository.repository import create, swap

# Of a run, or, where objects are locked, of a run of a set.
MANIFEST = re.compile(
    rf"(?P<prefix>(?:.*/)?){STATE}/(?:runs/(?P<run>[^/]+)|projects/(?P<of_set>[^/]+)/[0-9a-f]{{16}})/manifest\.json",
    re.DOTALL,
)
SIGNATURES_AT_ONCE = 16
FIND_OUT = "Find out by whom, and use another run or a copy."
ADD_KEY = (
    "If you know that key, add it to {setting:trust}. Otherwise, find out whose it is, and use another run or a copy."
)
# Any name that a document could give as that of a manifest.
LIKE_MANIFEST = re.compile(rf"(?:.*/)?{STATE}/.*manifest\.json", re.DOTALL)


async def sign_manifest(
    store: ObjectStore,
    target: Target,
    names: RunLayout,
    signer: Signer,
    *,
    once: bool = False,
    written: Manifest | SetManifest | None = None,
) -> None:
    """Sign the manifest of a run, also of a set, as it is stored, beside other keys. Repeating it does nothing.

    A signature of another manifest, such as one of an earlier run of this id, is replaced.

    once: nothing is replaced, as where objects are locked: a second signature gets a name of its own.
    written: what the manifest has to be.

    Raises VerificationError for anything else.
    """
    manifest = await store.read(names.manifest.name)
    if written is not None and encode(decode(manifest.data, type(written), names.manifest.name)) != encode(written):
        cause = "it is not the manifest that was to be signed: it was replaced meanwhile"
        raise VerificationError("sign", names.manifest.name, cause, "Find out by whom.")
    unsigned = _unsigned_envelope(manifest.data, names, target)
    mine = await signature_of(manifest.data, names, target, signer)
    if once:
        await _sign_once(store, names, replace(unsigned, signatures=(mine,)))
        return

    async def step(now: Envelope | None) -> Envelope | None:
        signatures = now.signatures if now and now.payload == unsigned.payload else ()
        if mine in signatures:
            return None
        kept = (signature for signature in signatures if signature.keyid != mine.keyid)
        return replace(unsigned, signatures=(*kept, mine))

    await swap(store, names.signature, step)


async def _sign_once(store: ObjectStore, names: RunLayout, signed: Envelope) -> None:
    """Store a signature, and replace nothing: whoever was faster with the first name does not know the second one."""
    for document in (names.signature, names.second_signature(signed.signatures[0].sig)):
        with suppress(DocumentError):
            stored = (await create(store, document, signed)).value
            if stored.payload == signed.payload and signed.signatures[0] in stored.signatures:
                return
    cause = f"{document.name} is not the signature of this copy, and nothing is written again there"
    raise VerificationError("sign", names.manifest.name, cause, "Find out by whom, and copy to another place.")


async def signature_of(manifest: bytes, names: RunLayout, target: Target, signer: Signer) -> Signature:
    """The signature of the manifest of a run with these bytes. Raises msgspec.MsgspecError for what is no manifest."""
    return Signature(await signer.key_id(), await signer.sign(_unsigned_envelope(manifest, names, target).signed))


def _unsigned_envelope(manifest: bytes, names: RunLayout, target: Target) -> Envelope:
    place = MANIFEST.fullmatch(names.manifest.name)
    of_set = place is not None and place["of_set"] is not None
    return envelope_of(manifest, names.manifest.name, "" if target.folder else str(target), of_set=of_set)


async def is_signed(store: ObjectStore, target: Target, names: RunLayout, signer: Signer) -> bool:
    """Whether this key has signed the manifest of a run as it is stored: an Ed25519 signature is the same each time."""
    unsigned = await _unsigned_there(store, target, names)
    first = await _signatures_in(store, names.signature.name, unsigned) if unsigned else None
    if unsigned is None or first is None:
        return False
    mine = Signature(await signer.key_id(), await signer.sign(unsigned.signed))
    second = names.second_signature(mine.sig).name
    return mine in first or mine in (await _signatures_in(store, second, unsigned) or ())


async def signatures_there(store: ObjectStore, target: Target, names: RunLayout) -> Envelope | None:
    """The signatures of the manifest of a run as it is stored, None where it has none. They are not proven."""
    unsigned = await _unsigned_there(store, target, names)
    if unsigned is None:
        return None
    signatures = dict[Signature, None]()
    for name in await names_of_signatures(store, names):
        signatures |= dict.fromkeys(await _signatures_in(store, name, unsigned) or ())
    return replace(unsigned, signatures=tuple(signatures)) if signatures else None


async def _unsigned_there(store: ObjectStore, target: Target, names: RunLayout) -> Envelope | None:
    manifest = await read_object(store, names.manifest.name)
    with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _unsigned_envelope(manifest.data, names, target) if manifest else None
    return None


async def _signatures_in(store: ObjectStore, name: str, unsigned: Envelope) -> tuple[Signature, ...] | None:
    """The signatures in this object that are of the same manifest, None where it does not exist."""
    with suppress(DocumentError):
        stored = await read_object(store, name)
        if stored is None:
            return None
        envelope = decode(stored.data, Envelope, name)
        return envelope.signatures if envelope.payload == unsigned.payload else ()
    return ()


class ReplacedError(VerificationError):
    """A trusted key has signed another manifest of the run than the one that is there."""


class Trust(NamedTuple):
    """What a manifest must fulfil.

    keys: one of them has signed it; None: signatures are not looked at.
    project, dataset: what it is of, "" for any; then it must have been signed for the place that it is read from.
    oldest: its earliest snapshot time, in milliseconds since 1970 UTC.
    within: the same, in words.
    """

    keys: TrustedKeys | None
    project: str = ""
    dataset: str = ""
    oldest: int = 0
    within: str = ""


def trusting_store(store: ObjectStore, target: Target, trust: Trust) -> ObjectStore:
    """A store that returns no manifest which the trust refuses. Reading one raises VerificationError."""
    return cast("ObjectStore", _TrustingStore(store, target, trust))


class _TrustingStore:
    def __init__(self, store: ObjectStore, target: Target, trust: Trust) -> None:
        self._store, self._target, self._trust = store, target, trust

    def __getattr__(self, name: str) -> Any:
        """All but reading and stat is the store's."""
        return getattr(self._store, name)

    @property
    def abilities(self) -> Abilities:
        """See ObjectStore."""
        return replace(self._store.abilities, trusting=bool(self._trust.keys))

    async def read(self, name: str, start: int = 0, length: int | None = None) -> Stored:
        """See ObjectStore. Of a manifest, the bytes are those that were checked."""
        place = MANIFEST.fullmatch(name)
        if place is None:
            if LIKE_MANIFEST.fullmatch(name):
                raise _refused(name, "no manifest is stored under such a name")
            return await self._store.read(name, start, length)
        stored = await self._store.read(name)
        if self._trust.keys:
            await self._check(self._trust.keys, place, stored.data)
        self._check_age(place, stored.data)
        end = None if length is None else start + length
        return Stored(stored.data[start:end], stored.generation)

    async def stat(self, name: str) -> ObjectInfo | None:
        """See ObjectStore. Of a manifest, its signature is checked."""
        info = await self._store.stat(name)
        if info and self._trust.keys and (place := MANIFEST.fullmatch(name)):
            await self._check(self._trust.keys, place, (await self._store.read(name)).data)
        return info

    async def _check(self, keys: TrustedKeys, place: re.Match[str], manifest: bytes) -> None:
        names, errors = names_beside(place.string), list[VerificationError]()
        try:
            return await self._check_signature(keys, place, manifest, names.signature.name)
        except VerificationError as error:
            errors.append(error)
        # Where objects are locked, another signature may have been stored before the copier's.
        all_names = await names_of_signatures(self._store, names)
        for name in (other for other in all_names if other != names.signature.name):
            try:
                return await self._check_signature(keys, place, manifest, name)
            except VerificationError as error:
                errors.append(error)
        raise next((error for error in errors if isinstance(error, ReplacedError)), errors[0])

    async def _check_signature(self, keys: TrustedKeys, place: re.Match[str], manifest: bytes, signature: str) -> None:
        name, run = place.string, _run_of(place)
        try:
            stored = await read_object(self._store, signature)
            if stored is None:
                hint = (
                    "Sign it with {setting:sign} when it is made. If it was signed before, find out who removed that."
                )
                raise _refused(run, "it is not signed", hint)
            envelope = decode(stored.data, Envelope, signature)
        except DocumentError as error:
            raise _refused(run, f"{signature} is not a signature ({error.cause})") from None
        if not any(keys.has_signed(signature.sig, envelope.signed) for signature in envelope.signatures):
            raise _unsigned(keys, envelope, run)
        statement = statement_of(envelope)
        if statement is None:
            raise _refused(run, "what a trusted key has signed there is not about a manifest")
        if statement.subject[0].digest.get(SHA256) != hashlib.sha256(manifest).hexdigest():
            signed = statement.predicate
            other = f", of run {signed.run}" if signed.run != run else ""
            cause = f"{name} is not the manifest that was signed{other}: it was changed or replaced"
            if other:
                raise _refused(run, cause)
            raise ReplacedError("trust", f"run {run}", cause, FIND_OUT)
        self._check_export(place, statement)

    def _check_export(self, place: re.Match[str], statement: Statement) -> None:
        signed, (subject,), run = statement.predicate, statement.subject, _run_of(place)
        if signed.run != run:
            raise _refused(run, f"it is the manifest of run {signed.run}")
        if (signed.dataset == SET) != bool(place["of_set"]):
            raise _refused(run, "what was signed is of one dataset, and this of a set, or the other way round")
        trust = self._trust
        named = place["prefix"] == self._target.prefix and trust.dataset == signed.dataset
        if named and signed.project == (trust.project or signed.project):
            return
        here = "" if self._target.folder else self._target.uri(place["prefix"])
        # In folders, which have no names of their own, the object's name says below which prefix it was signed.
        if (signed.target.rstrip("/"), subject.name) == (here.rstrip("/"), place.string):
            return
        which = f"dataset {signed.project}.{signed.dataset}"
        if place["of_set"]:
            which = f"a set of datasets of {signed.project}"
        where = f"signed for {signed.target}" if signed.target else "signed in a folder"
        same = signed.project == (trust.project or signed.project)
        if trust.dataset and not place["of_set"] and not (same and trust.dataset == signed.dataset):
            raise _refused(run, f"it is of {which}, {where}, and not of {trust.dataset}")
        hint = "name its dataset: {setting:project} and {setting:dataset}."
        if place["of_set"]:
            hint = "read its datasets one by one: {setting:dataset} and {setting:prefix}."
        elif trust.dataset:
            hint = f"name its prefix: {{setting:prefix}} {place['prefix'].rstrip('/')}"
        hint = f"If it was moved here on purpose, {hint}"
        raise _refused(run, f"it is of {which}, {where}, and read from {here or 'a folder'}", hint)

    def _check_age(self, place: re.Match[str], manifest: bytes) -> None:
        if not self._trust.oldest:
            return
        try:
            time = msgspec.json.decode(manifest, type=_Time).snapshot_time
            taken = parse_time(time)
        except (msgspec.MsgspecError, ValueError):
            raise _refused(_run_of(place), "its manifest has no snapshot time") from None
        if taken < self._trust.oldest:
            cause = f"it is the published run, and of {time}: not within {self._trust.within}"
            hint = "Exports have failed, or entries of the log were deleted: {call:runs} lists all runs."
            error = OutdatedError("trust", f"run {_run_of(place)}", cause, hint)
            error.snapshot = taken
            raise error


def _run_of(place: re.Match[str]) -> str:
    return place["run"] or place["of_set"]


class _Time(msgspec.Struct):
    snapshot_time: str


def _refused(run: str, cause: str, hint: str = FIND_OUT) -> UntrustedError:
    return UntrustedError("trust", f"run {run}", cause, hint)


def _unsigned(keys: TrustedKeys, envelope: Envelope, run: str) -> UntrustedError:
    ids = [signature.keyid for signature in envelope.signatures]
    if any(named in keys.key_ids for named in ids):
        return _refused(run, "its signature is wrong: the signature or what it covers was changed")
    cause = f"it is signed by another key than those that are trusted ({', '.join(ids) or 'none'})"
    return UntrustedError("trust", f"run {run}", cause, ADD_KEY, setting="trust")
