"""Notes: documents so small that a listing of objects brings them along. The one place that keeps them small."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from bqdump.core.documents.codec import encode
from bqdump.core.documents.run import Failure, GivenUp

if TYPE_CHECKING:
    pass

# In bytes as encoded. Cloud Storage allows 8 KiB of metadata for an object.
NOTE_BYTES = 4096
MOST_MESSAGE, MOST_REASON = 1000, 100
CUT = "…"


def encode_note(note: object) -> bytes:
    """The note as one line of JSON of at most NOTE_BYTES, however long a message from elsewhere is.

    Table names and ids are never cut: what planning accepts of them fits.
    """
    if isinstance(note, GivenUp):
        rest = len(encode(GivenUp(_without_words(note.failure))))
        return encode(GivenUp(_cut(note.failure, NOTE_BYTES - rest)))
    if isinstance(note, Failure):
        return encode(_cut(note, NOTE_BYTES - len(encode(_without_words(note)))))
    return encode(note)


def _without_words(failure: Failure) -> Failure:
    return msgspec.structs.replace(failure, reason="", message="")


def _cut(failure: Failure, room: int) -> Failure:
    """The failure with a reason and a message that take no more than `room` bytes together."""
    reason = shortened(failure.reason, min(room, MOST_REASON), MOST_REASON)
    message = shortened(failure.message, room - _size(reason), MOST_MESSAGE)
    return msgspec.structs.replace(failure, reason=reason, message=message)


def shortened(text: str, bytes_: int, characters: int) -> str:
    """The text, cut where it has more characters, or as JSON more bytes. What is no Unicode becomes question marks."""
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
    """How many bytes it takes within a string of JSON."""
    return len(msgspec.json.encode(text)) - 2
