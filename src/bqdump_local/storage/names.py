"""The names of buckets and objects that the service accepts."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from bqdump_local.storage.errors import invalid

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_NAME_BYTES = 1024


def decode_segment(segment: str) -> str:
    """The string of a percent-encoded path segment; 400 if it is not UTF-8."""
    if "%" not in segment:
        return segment
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError as error:
        raise invalid("Object names must be valid UTF-8.") from error


def check_bucket_name(name: str) -> None:
    """Raise 400 for an invalid bucket name."""
    if not _BUCKET.fullmatch(name) or ".." in name or any(len(part) > 63 for part in name.split(".")):
        raise invalid(f"Invalid bucket name: '{name}'")


def check_object_name(name: str) -> None:
    """Raise 400 for an invalid object name."""
    if not name:
        raise invalid("Required parameter: name", reason="required")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise invalid("Object names must be valid UTF-8.") from error
    if size > _NAME_BYTES:
        raise invalid("The maximum object length is 1024 characters, but got a name with " + f"{size} characters.")
    if "\n" in name or "\r" in name or name in {".", ".."} or name.startswith(".well-known/acme-challenge/"):
        raise invalid(f"Disallowed object name: {name!r}")
