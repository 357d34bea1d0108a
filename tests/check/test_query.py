"""What a statement is answered from is what the manifest records, in a bucket and in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bqdump.adapters.memory import MemoryStore
from bqdump.check.query import Export
from bqdump.core.documents.manifest import Manifest
from bqdump.core.errors import VerificationError
from bqdump.core.settings.target import Target
from bqdump.ports.data_reader import Source
from restore.world import SETTINGS, ExportedWorld


class Shell:
    """A shell that reads the files of a table when it is attached. read: their bytes."""

    def __init__(self) -> None:
        self.read: list[bytes] = []

    def define(self, *_: Any) -> None:
        """See QueryShell."""

    def needed(self, statement: str) -> list[str]:
        """See QueryShell."""
        return [statement]

    async def attach(self, _table: str, sources: Sequence[Source]) -> None:
        """See QueryShell."""
        for source in sources:
            content = source.content
            whole = content.read_bytes() if isinstance(content, Path) else b"".join([piece async for piece in content])
            self.read.append(whole)


def recorded(world: ExportedWorld, **changes: Any) -> Manifest:
    """The manifest of a world, in which the file of table "one" has these properties."""
    entries = [
        msgspec.structs.replace(entry, files=tuple(msgspec.structs.replace(file, **changes) for file in entry.files))
        if entry.table == "one"
        else entry
        for entry in world.manifest.tables
    ]
    return msgspec.structs.replace(world.manifest, tables=tuple(entries))


def content(store: MemoryStore, manifest: Manifest, table: str = "one") -> tuple[str, bytes]:
    """The name and the bytes of the file of a table."""
    (name,) = [file.name for entry in manifest.tables if entry.table == table for file in entry.files]
    found = store.peek(name)
    assert found
    return name, found[0]


@pytest.mark.parametrize("place", ["a bucket", "a folder"])
@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"sha256": "0" * 64}, "expected the SHA-256 0000"),
        ({"crc32c": "AAAAAA=="}, "with the CRC32C AAAAAA=="),
        ({"size": 3}, "expected 3 bytes"),
    ],
    ids=["SHA-256", "CRC32C", "size"],
)
def test_a_statement_is_not_answered_from_another_file_than_the_manifest_records(
    place: str, changes: dict[str, Any], cause: str, tmp_path: Path
) -> None:
    world, settings = ExportedWorld(), SETTINGS
    manifest = recorded(world, **changes)
    if place == "a folder":
        settings = msgspec.structs.replace(SETTINGS, target=Target("file", str(tmp_path)))
        for table in ("one", "two"):
            name, data = content(world.store, manifest, table)
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(data)
    shell: Any = Shell()
    export = Export(settings, manifest, shell)
    with pytest.raises(VerificationError, match=cause):
        asyncio.run(export.attach(world.store, "one"))
    asyncio.run(export.attach(world.store, "two"))
    assert shell.read[-1] == content(world.store, manifest, "two")[1]
    # Where it is queried in place, nothing of it has been attached.
    assert not shell.read[:-1]
