"""The keys that settings name: PEM files, and variables that contain one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.values import VARIABLE
from bqdump.ports.signer import Signer, TrustedKeys

Key = TypeVar("Key")
# No PEM file with one key is larger.
MOST_BYTES = 16_384


def open_signer(settings: Settings) -> Signer | None:
    """The key that signs manifests, None without one. Raises UsageError, which never has any of the key."""
    if not settings.sign:
        return None
    from bqdump.adapters.signing_keys import FileKey, private_key

    return FileKey(_key(settings.sign, private_key, "sign"))


def open_trusted(settings: Settings) -> TrustedKeys | None:
    """The keys whose signatures are trusted, None where signatures are not looked at. Raises UsageError."""
    if not settings.trust:
        return None
    from bqdump.adapters.signing_keys import FileKeys, public_key

    return FileKeys([_key(named, public_key, "trust") for named in settings.trust])


def _key(named: str, read: Callable[[bytes], Key], setting: str) -> Key:
    try:
        return read(_pem(named))
    except ValueError as error:
        hint = "Make a pair: bqdump keys new NAME"
        raise UsageError("use", named, str(error), hint, setting=setting) from None
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise UsageError("read", named, cause, "Name a PEM file, or env:VARIABLE.", setting=setting) from None


def _pem(named: str) -> bytes:
    """Raises OSError for a file that cannot be read, ValueError for a variable that is not set."""
    if named.startswith(VARIABLE):
        variable = named.removeprefix(VARIABLE)
        if not (content := os.environ.get(variable)):
            raise ValueError("the variable is not set")
        return content.encode()
    with Path(named).open("rb") as file:
        return file.read(MOST_BYTES)
