"""Which notes on drills count where keys are trusted."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.signing_keys import FileKey, FileKeys
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.target import Drill
from bqdump.core.settings.target import Target
from bqdump.repository.drills import sign_drill, signed_drills
from bqdump.repository.repository import create, overwrite

LAYOUT, TARGET = Layout("p/"), Target("gs", "memory", "p/")
NOTE = LAYOUT.drill("20260101T000000Z-1")
FAILED = Drill(
    run="r1",
    snapshot=1,
    dataset="p.bqdump_drill_1",
    tool="1",
    began=1,
    ended=2,
    tables=0,
    of=1,
    different=1,
    problems=("table naïve has other rows",),
)


@pytest.mark.parametrize("replaced", [False, True], ids=["as it was stored", "replaced before it was signed"])
async def test_a_drill_signs_its_own_note_and_not_what_somebody_has_put_in_its_place(replaced: bool) -> None:
    store, key = MemoryStore(), Ed25519PrivateKey.generate()
    await create(store, NOTE, FAILED)
    if replaced:
        proven = msgspec.structs.replace(FAILED, tables=1, different=0, problems=())
        await overwrite(store, NOTE, proven)
    await sign_drill(store, TARGET, LAYOUT, NOTE.name, FAILED, FileKey(key))
    drills = await signed_drills(store, TARGET, LAYOUT, FileKeys([key.public_key()]))
    assert [drill.proven for drill in drills] == ([] if replaced else [False])
