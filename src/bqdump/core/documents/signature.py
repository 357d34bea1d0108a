"""The signature of a manifest, or of the note on a drill: a DSSE envelope around an in-toto statement, next to it.

The statement has the SHA-256 of the manifest's bytes, so that it stays small however many tables there are, and says
which export and run they are of. It follows from these alone: whoever signs the same manifest again signs the same
bytes, and an envelope can have the signatures of several keys.

https://github.com/secure-systems-lab/dsse/blob/v1.0.0/envelope.md,
https://github.com/in-toto/attestation/blob/v1.0/spec/v1.0/statement.md
"""

from __future__ import annotations

import hashlib

import msgspec

from bqdump.core.documents.target import SET

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "urn:bqdump:manifest:1"
DRILL = "urn:bqdump:drill:1"
SHA256 = "sha256"


class Subject(msgspec.Struct, frozen=True):
    """What was signed. name: its object name."""

    name: str
    digest: dict[str, str]


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest is of. target: where it was signed, gs://BUCKET/PREFIX; "" in a folder."""

    project: str
    dataset: str
    run: str
    snapshot_time: str
    target: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """That a manifest is the one that a run has written."""

    type: str = msgspec.field(name="_type", default=STATEMENT)
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType", default=PREDICATE)
    predicate: Signed


class Signature(msgspec.Struct, frozen=True):
    """The signature of one key. keyid: see `ports.signer`; only a hint."""

    keyid: str
    sig: bytes


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """The document. payload: the statement. Bytes are in base64."""

    payload_type: str = msgspec.field(name="payloadType", default=PAYLOAD_TYPE)
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def signed(self) -> bytes:
        """The bytes that are signed: DSSE's pre-authentication encoding."""
        kind = self.payload_type.encode()
        return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(self.payload), self.payload)


class _Of(msgspec.Struct):
    """Of a manifest, what its statement repeats."""

    project: str
    run: str
    snapshot_time: str


class _OfDataset(_Of):
    dataset: str


def envelope_of(manifest: bytes, name: str, target: str, *, of_set: bool = False) -> Envelope:
    """The unsigned envelope about the manifest with these bytes and this object name. target: see Signed.

    of_set: it is that of a set. Raises msgspec.MsgspecError for what is no manifest.
    """
    of: _Of
    if of_set:
        of, dataset = msgspec.json.decode(manifest, type=_Of), SET
    else:
        of = msgspec.json.decode(manifest, type=_OfDataset)
        dataset = of.dataset
    statement = Statement(
        subject=(Subject(name, {SHA256: hashlib.sha256(manifest).hexdigest()}),),
        predicate=Signed(
            project=of.project, dataset=dataset, run=of.run, snapshot_time=of.snapshot_time, target=target
        ),
    )
    return Envelope(payload=msgspec.json.encode(statement), signatures=())


def envelope_of_drill(note: bytes, name: str, target: str) -> Envelope:
    """The unsigned envelope about the note on a drill with these bytes and this object name. target: see Signed."""
    subject = {"name": name, "digest": {SHA256: hashlib.sha256(note).hexdigest()}}
    statement = {"_type": STATEMENT, "subject": [subject], "predicateType": DRILL, "predicate": {"target": target}}
    return Envelope(payload=msgspec.json.encode(statement), signatures=())


def statement_of(envelope: Envelope) -> Statement | None:
    """The statement, None for an envelope around anything else."""
    if envelope.payload_type != PAYLOAD_TYPE:
        return None
    try:
        statement = msgspec.json.decode(envelope.payload, type=Statement)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    expected = (STATEMENT, PREDICATE, 1)
    return statement if (statement.type, statement.predicate_type, len(statement.subject)) == expected else None
