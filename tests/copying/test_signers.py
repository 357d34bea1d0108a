"""A copy asks its key for a signature first."""

from __future__ import annotations

from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bqdump import file_content
from bqdump.adapters.signing_keys import FileKey
from bqdump.core.documents.run import Owner
from bqdump.core.errors import DeniedError, VerificationError
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.verbs import retention
from copying.scene import Copies

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


def test_a_file_of_several_pieces_that_another_task_has_moved_is_compared_piece_by_piece(
    copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_content, "PIECE_BYTES", 4)
    copies.export("a")
    copies.copy()
    sizes = [file.size for entry in copies.manifest("a").tables for file in entry.files]
    assert max(sizes) > 8
    signed = copies.copy(signer=FileKey(Ed25519PrivateKey.generate()))
    assert [run.state for run in signed.runs] == ["there"]
    digests = {file.name: file.sha256 for entry in copies.manifest("a").tables for file in entry.files}
    stored = {name: copies.target.peek(name) for name in digests}
    assert digests == {name: sha256(found[0]).hexdigest() for name, found in stored.items() if found}


@pytest.mark.parametrize("again", [False, True])
def test_where_keys_are_trusted_a_file_without_sha256_is_copied_only_if_it_was_not_written_again(again: bool) -> None:
    copies = Copies()
    copies.export("r1")
    copies.settings = msgspec.structs.replace(copies.settings, trust=("signing.pub",))
    (name,) = [one for one in copies.source.store.names_now() if "/items/" in one]
    found = copies.source.store.peek(name)
    assert found
    if again:
        copies.source.store.put_now(name, found[0])
        with pytest.raises(VerificationError, match="it was written again since run r1 was exported"):
            copies.copy("r1")
    else:
        assert [run.state for run in copies.copy("r1").runs] == ["copied"]
