"""Encoding and decoding documents. Errors name the document and what is wrong with it.

What to do about a stored document that cannot be used.
"""

from __future__ import annotations

from contextlib import suppress
from functools import reduce
from operator import or_
from typing import TypeVar

import msgspec

from bqdump.core.documents.document import FORMAT_VERSION, STATE
from bqdump.core.documents.manifest import Manifest
from bqdump.core.documents.run import Plan
from bqdump.core.documents.target import Latest
from bqdump.core.documents.validation import place_of, problem
from bqdump.core.errors import DocumentError

RESTORE = "Restore an earlier version of the object"
RELEASE = "Use the matching release."
# What else helps, by the last part of the name.
AGAIN, ELSEWHERE = "delete it: the next run writes it again", "export to another {setting:prefix}"
INSTEAD = {
    "dataset.json": AGAIN,
    "project.json": AGAIN,
    "latest.json": AGAIN,
    "publishing.json": ELSEWHERE,
    "manifest.json": ELSEWHERE,
}
# Of the notes in these folders.
NOTES_INSTEAD = {
    "tags": "delete it, then tag the run again: no run is pruned before that",
    "log": "delete it, then start its run again by its id, which exports nothing; of a copy, copy the run again",
    "staged": "delete it: {call:prune} deletes what its run has staged",
}
COPIED = (
    "{call:restore} and {call:drill} read such a copy. For everything else use the original, or a copy that has its "
    "prefix, such as one in another bucket."
)


def undecodable(name: str, kind: str, cause: object) -> DocumentError:
    """The error about an object that does not hold a document of this kind."""
    return DocumentError("read", name, f"it is not a valid {kind.removeprefix('_')} ({cause})", _remedy(name))


def misplaced(document: object, name: str, cause: str) -> DocumentError:
    """The error about a document that cannot be the one of that name."""
    before, place = prefix_of(document), place_of(name)
    if before is None or place is None or before == place.layout.prefix:
        return DocumentError("read", name, cause, f"Modified outside bqdump: find out by whom. {_remedy(name)}")
    written = f"the prefix {before!r}" if before else "a bucket without a prefix"
    copied = f"it was written for {written}, so this is a copy of that export"
    return DocumentError("read", name, copied, COPIED)


def _remedy(name: str) -> str:
    place = place_of(name)
    folder, _, last = name.rpartition("/")
    instead = INSTEAD.get(last) or ("start a new run" if place and place.run else "")
    if place and not place.run:
        instead = instead or NOTES_INSTEAD.get(folder.rpartition("/")[2], "")
    return f"{RESTORE}, or {instead}." if instead else f"{RESTORE}."


def prefix_of(document: object) -> str | None:
    """The prefix that a document was written for, None where it does not show that."""
    if isinstance(document, Latest):
        place = place_of(document.manifest)
        return place.layout.prefix if place else None
    return str(document.settings.get("prefix") or "") if isinstance(document, Plan | Manifest) else None


Document = TypeVar("Document")
Moved = TypeVar("Moved", Latest, Manifest)


class _Versioned(msgspec.Struct):
    format_version: int = FORMAT_VERSION


_ENCODER = msgspec.json.Encoder()


def encode(document: object) -> bytes:
    """The document as one line of JSON."""
    return _ENCODER.encode(document)


def encode_indented(document: object) -> bytes:
    """The document as JSON that a person can read; for documents whose size does not grow with the tables."""
    return msgspec.json.format(_ENCODER.encode(document), indent=2) + b"\n"


def decode(data: bytes, type_: type[Document] | tuple[type[Document], ...], name: str) -> Document:
    """The document in `data`, which is stored in the object `name`.

    Raises DocumentError where it is not a document of such a type and version, or cannot be the one of that name.
    """
    types = type_ if isinstance(type_, tuple) else (type_,)
    try:
        version = msgspec.json.decode(data, type=_Versioned).format_version
        if version == FORMAT_VERSION:
            document: Document = msgspec.json.decode(data, type=reduce(or_, types))
            if cause := problem(document, name):
                raise misplaced(document, name, cause)
            return document
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise undecodable(name, " or ".join(kind.__name__ for kind in types), error) from None
    raise DocumentError(
        "read",
        name,
        f"it has format version {version}, but this release reads version {FORMAT_VERSION}",
        RELEASE,
    )


def decode_moved(data: bytes, type_: type[Moved], name: str) -> Moved:
    """The same for an export that another tool has copied: names are not checked in one that names another prefix.

    Raises DocumentError for any other one that cannot be used.
    """
    try:
        return decode(data, type_, name)
    except DocumentError:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            document = msgspec.json.decode(data, type=type_)
            if document.format_version == FORMAT_VERSION and prefix_of(document) != name.partition(STATE)[0]:
                return document
        raise
