"""Keys that sign manifests, and keys whose signatures are trusted."""

from __future__ import annotations

from typing import Protocol


class Signer(Protocol):
    """A private key. Its id is `SHA256:` and the SHA-256 of the public key (SubjectPublicKeyInfo, DER), in base64."""

    async def key_id(self) -> str:
        """The id of the key."""

    async def sign(self, data: bytes) -> bytes:
        """The signature of these bytes."""


# Signed before anything is exported or copied: a public key may be readable by whom its private one refuses.
PROBE = b"bqdump: this key can sign"


class TrustedKeys(Protocol):
    """Public keys. Their ids: see Signer."""

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of all of them."""

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        """Whether one of the keys has signed these bytes."""
