"""Encryption keys that clients supply. Objects are stored without encryption, but read only with their key.

Source: https://cloud.google.com/storage/docs/encryption/customer-supplied-keys
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import TYPE_CHECKING

from bqdump_local.storage.errors import ApiError, invalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bqdump_local.storage.store.records import ObjectRecord

KEY_BYTES = 32


def of_object(headers: Mapping[str, str]) -> str | None:
    """The base64 SHA-256 of the key for the object that is read or written; None without a key."""
    return _hash(headers, "x-goog-encryption")


def of_source(headers: Mapping[str, str]) -> str | None:
    """The base64 SHA-256 of the key for the source of a copy."""
    return _hash(headers, "x-goog-copy-source-encryption")


def check(record: ObjectRecord, key: str | None) -> None:
    """Raise if an object cannot be read with this key, or without one."""
    if record.customer_key and key is None:
        message = "The target object is encrypted by a customer-supplied encryption key."
        raise invalid(message, reason="resourceIsEncryptedWithCustomerEncryptionKey")
    if key is not None and not record.customer_key:
        message = "The target object is not encrypted by a customer-supplied encryption key."
        raise invalid(message, reason="resourceNotEncryptedWithCustomerEncryptionKey")
    if key != record.customer_key:
        message = "The provided encryption key is incorrect."
        raise ApiError(403, message, reason="customerEncryptionKeyIsIncorrect")


def _hash(headers: Mapping[str, str], prefix: str) -> str | None:
    algorithm, text = headers.get(f"{prefix}-algorithm"), headers.get(f"{prefix}-key")
    if text is None:
        return None
    if algorithm != "AES256":
        raise invalid("Missing or invalid encryption algorithm.", reason="customerEncryptionAlgorithmIsInvalid")
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise invalid("Missing or invalid encryption key.", reason="customerEncryptionKeyFormatIsInvalid")
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode()
    if headers.get(f"{prefix}-key-sha256") != digest:
        raise invalid("The SHA-256 of the encryption key is wrong.", reason="customerEncryptionKeySha256IsInvalid")
    return digest
