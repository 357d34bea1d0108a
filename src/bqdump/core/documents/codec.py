"""Encoding and decoding documents. Errors name the document and what is wrong with it."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from bqdump.core.documents.damage import misplaced, undecodable
from bqdump.core.documents.fields import FORMAT_VERSION
from bqdump.core.documents.validation import problem
from bqdump.core.errors import DocumentError

Document = TypeVar("Document")


class _Versioned(msgspec.Struct):
    format_version: int = FORMAT_VERSION


_ENCODER = msgspec.json.Encoder()


def encode(document: object) -> bytes:
    """The document as one line of JSON."""
    return _ENCODER.encode(document)


def encode_indented(document: object) -> bytes:
    """The document as JSON that a person can read; for documents whose size does not grow with the tables."""
    return msgspec.json.format(_ENCODER.encode(document), indent=2) + b"\n"


def decode(data: bytes, type_: type[Document], name: str) -> Document:
    """The document in `data`, which is stored in the object `name`.

    Raises DocumentError where it is not a document of this type and version, or cannot be the one of that name.
    """
    try:
        version = msgspec.json.decode(data, type=_Versioned).format_version
        if version == FORMAT_VERSION:
            document = msgspec.json.decode(data, type=type_)
            if cause := problem(document, name):
                raise misplaced(document, name, cause)
            return document
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise undecodable(name, getattr(type_, "__name__", str(type_)), error) from None
    raise DocumentError(
        "read",
        name,
        f"it has format version {version}, but this release reads version {FORMAT_VERSION}",
        "Use the matching release.",
    )
