"""Notes: documents so small that a listing of objects includes them. This module keeps them small."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from bqdump.core.documents.codec import encode
from bqdump.core.documents.document import Attempt, Count, Time
from bqdump.core.documents.run import Failure, Owner
from bqdump.core.documents.units import GivenUp

# In bytes as encoded. Cloud Storage allows 8 KiB of metadata for an object.
NOTE_BYTES = 4096
MOST_MESSAGE, MOST_REASON = 1000, 100
CUT = "…"


class Restored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The proof that a table, or an object that follows the tables, is restored.

    number: in the plan.
    kind: as in tables.list; ROUTINE, INDEX, POLICY or ACCESS.
    jobs: the number of its jobs.
    rows: of the restored table.
    billed: bytes billed by its statements.
    started, ended: by BigQuery's clock, 0 where no job ran.
    table: of a policy.
    parts: the ids of the partitions that were put in place, where each was by itself.
    """

    number: Count
    name: str
    kind: str
    attempt: Attempt
    task: Count
    rows: Count | None = None
    jobs: Count = 0
    billed: Count = 0
    started: Time = 0
    ended: Time = 0
    table: str = ""
    parts: tuple[str, ...] = ()


class RestoreFailure(msgspec.Struct, frozen=True):
    """Why a table or object is not restored, in one sentence. It binds only its own execution.

    reason: BigQuery's, such as notFound, or `rows` where the restored table has other rows than the export.
    """

    number: Count
    name: str
    kind: str
    attempt: Attempt
    reason: str
    message: str
    owner: Owner


def encode_note(note: object) -> bytes:
    """The note as one line of JSON of at most NOTE_BYTES. Long error messages are cut.

    Table names and ids are never cut: those that planning accepts fit.
    """
    if isinstance(note, GivenUp):
        rest = len(encode(GivenUp(_without_words(note.failure))))
        return encode(GivenUp(_cut(note.failure, NOTE_BYTES - rest)))
    if isinstance(note, (Failure, RestoreFailure)):
        return encode(_cut(note, NOTE_BYTES - len(encode(_without_words(note)))))
    return encode(note)


Failed = TypeVar("Failed", bound=Failure | RestoreFailure)


def _without_words(failure: Failed) -> Failed:
    return msgspec.structs.replace(failure, reason="", message="")


def _cut(failure: Failed, room: int) -> Failed:
    """The failure with its reason and message cut to `room` bytes together."""
    reason = shortened(failure.reason, min(room, MOST_REASON), MOST_REASON)
    message = shortened(failure.message, room - _size(reason), MOST_MESSAGE)
    return msgspec.structs.replace(failure, reason=reason, message=message)


def shortened(text: str, bytes_: int, characters: int) -> str:
    """The string, cut to this many characters and bytes of JSON. Invalid Unicode becomes question marks."""
    text = text.encode("utf-8", "replace").decode()
    if len(text) <= characters and _size(text) <= bytes_:
        return text
    kept, left = 0, bytes_ - _size(CUT)
    for char in text[:characters]:
        left -= _size(char)
        if left < 0:
            break
        kept += 1
    return text[:kept] + CUT


def _size(text: str) -> int:
    """Its length in bytes within a JSON string."""
    return len(msgspec.json.encode(text)) - 2
