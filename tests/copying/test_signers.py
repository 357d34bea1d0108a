"""A copy asks its key for a signature first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bqdump.core.documents.run import Owner
from bqdump.core.errors import DeniedError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.verbs import retention

SETTINGS = Settings(project="p", dataset="d", target=Target("gs", "memory"))


class Refusing:
    """A key that nobody may sign with."""

    async def sign(self, statement: bytes) -> bytes:
        raise DeniedError("sign with", "the key", "no permission")


async def test_a_key_that_cannot_sign_is_refused_before_a_place_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = list[tuple[Any, ...]]()
    monkeypatch.setattr(retention, "open_signer", lambda settings: Refusing())
    monkeypatch.setattr(retention, "opened_copy", lambda *arguments: opened.append(arguments))
    request: Any = SimpleNamespace(lock=0, lock_mode="", dry=False, digests=False)
    with pytest.raises(DeniedError, match="cannot sign with the key: no permission"):
        await retention.copy(SETTINGS, request, Owner("e", 0))
    assert opened == []
