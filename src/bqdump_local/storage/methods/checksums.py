"""Checksums sent by clients, which are compared with the received bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bqdump_local.storage.errors import invalid

if TYPE_CHECKING:
    from bqdump_local.storage.store.files import Content


def from_resource(resource: dict[str, Any]) -> dict[str, str]:
    """`crc32c` and `md5Hash` of an upload's metadata."""
    return {kind: resource[key] for kind, key in (("crc32c", "crc32c"), ("md5", "md5Hash")) if resource.get(key)}


def from_header(header: str | None) -> dict[str, str]:
    """The pairs of an `x-goog-hash` header."""
    pairs = (item.strip().partition("=") for item in (header or "").split(","))
    return {kind: digest for kind, _, digest in pairs if kind in {"crc32c", "md5"}}


def check(content: Content, expected: dict[str, str]) -> None:
    """Raise 400 if the bytes do not match the client's checksums."""
    for kind, actual in (("crc32c", content.crc32c), ("md5", content.md5)):
        declared = expected.get(kind)
        if declared and declared != actual:
            label = "CRC32C" if kind == "crc32c" else "MD5 hash"
            raise invalid(f'Provided {label} "{declared}" doesn\'t match calculated {label} "{actual}".')
