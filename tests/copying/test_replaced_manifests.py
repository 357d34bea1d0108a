"""Prunes of locked, signed copies of which a manifest was replaced: no file goes that the signed one may name."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bqdump.adapters.signing_keys import FileKey, FileKeys
from bqdump.core.documents.target import Drill
from bqdump.core.errors import DocumentError
from bqdump.core.retention.policy import policy_for
from bqdump.core.retention.pruned import Pruned
from bqdump.ports.store import Abilities
from bqdump.repository.repository import overwrite
from bqdump.repository.signatures import Trust, sign_manifest, trusting_store
from bqdump.retain.prune import prune as prune_place
from bqdump.retain.survey import Task
from copying.scene import THERE, Copies
from retain.scene import DAY

KEY = Ed25519PrivateKey.generate()
SIGNER, TRUST = FileKey(KEY), Trust(FileKeys([KEY.public_key()]), "p", "sales")


@pytest.fixture(params=["as Cloud Storage", "as S3"])
def vault(request: pytest.FixtureRequest) -> Copies:
    """A place of locked copies, without any run."""
    return Copies("keep", Abilities(listed_checksums=request.param == "as Cloud Storage"))


def night(vault: Copies, *runs: str, incremental: bool = False) -> None:
    """Export a day later each, and copy, signed and locked for 3 days."""
    for run in runs:
        vault.export(run, incremental=incremental)
        vault.copy(lock=3, signer=SIGNER)


def unlock(vault: Copies) -> None:
    """Let 30 days pass."""
    vault.source.now += 30 * DAY
    vault.target.lock = None


def prune(vault: Copies, *named: str, trust: bool = True, **settings: int) -> Pruned:
    """Prune, by these rules or these runs."""
    chosen = msgspec.structs.replace(vault.there, **settings)
    trusted = trusting_store(vault.target, THERE, TRUST) if trust else None
    policy = policy_for(chosen, named)
    task = Task(vault.target, chosen, policy, vault.source.now, delete=True, trusted=trusted)
    return asyncio.run(prune_place(task))


def removed(pruned: Pruned) -> list[str]:
    return [run.run for run in pruned.removed]


def named_by(vault: Copies, run: str) -> set[str]:
    return {file.name for entry in vault.manifest(run).tables for file in entry.files}


def manifest_of(vault: Copies, run: str) -> str:
    return vault.there.layout.run(run).manifest.name


def changed(vault: Copies, **fields: object) -> bytes:
    """The bytes of the manifest of r1 with other fields."""
    found = vault.target.peek(manifest_of(vault, "r1"))
    assert found
    return json.dumps(json.loads(found[0]) | fields, separators=(",", ":")).encode()


def forged(vault: Copies, kind: str) -> bytes:
    if kind == "junk":
        return b"junk"
    if kind == "newer":
        return changed(vault, format_version=2)
    if kind == "of another run":
        return changed(vault, run="r2")
    return changed(vault, tables=[])


FORGERIES = ("junk", "newer", "of another run", "without files")


def test_one_that_a_newer_release_has_signed_stops_the_prune(vault: Copies) -> None:
    night(vault, "r1", "r2", "r3")
    unlock(vault)
    vault.target.put_now(manifest_of(vault, "r1"), forged(vault, "newer"))
    asyncio.run(sign_manifest(vault.target, THERE, vault.there.layout.run("r1"), SIGNER))
    before = vault.target.names_now()
    with pytest.raises(DocumentError, match="format version 2") as error:
        prune(vault, keep_last=1)
    assert "A trusted key has signed it" in error.value.hint
    assert vault.target.names_now() == before


def test_without_a_key_one_of_a_newer_release_is_not_said_to_be_deletable(vault: Copies) -> None:
    night(vault, "r1", "r2")
    unlock(vault)
    vault.target.put_now(manifest_of(vault, "r1"), forged(vault, "newer"))
    with pytest.raises(DocumentError, match="format version 2") as error:
        prune(vault, trust=False, keep_last=1)
    assert "Use the matching release." in error.value.hint
    assert "delete the folder" not in error.value.hint


@pytest.mark.parametrize("signature", ["there", "replaced"])
@pytest.mark.parametrize("kind", FORGERIES)
def test_the_files_of_its_run_stay(kind: str, signature: str, vault: Copies) -> None:
    night(vault, "r1", "r2", "r3")
    unlock(vault)
    own, before = named_by(vault, "r1"), vault.data()
    vault.target.put_now(manifest_of(vault, "r1"), forged(vault, kind))
    if signature == "replaced":
        vault.target.put_now(vault.there.layout.run("r1").signature.name, b"junk")
    pruned = prune(vault, keep_last=3)
    assert removed(pruned) == []
    assert vault.data() == before
    assert own <= set(pruned.left)
    text = " ".join(pruned.notes)
    assert "r1" in text
    assert ("A trusted key has signed another manifest of run r1" in text) == (signature == "there")


def test_the_files_of_its_run_stay_when_others_are_pruned_by_name(vault: Copies) -> None:
    night(vault, "r1", "r2", "r3")
    unlock(vault)
    own = named_by(vault, "r1")
    vault.target.put_now(manifest_of(vault, "r1"), b"junk")
    assert removed(prune(vault, "r2")) == ["r2"]
    assert own <= set(vault.data())


@pytest.mark.parametrize("kind", FORGERIES)
def test_the_files_of_earlier_runs_that_the_signed_one_names_stay(kind: str, vault: Copies) -> None:
    night(vault, "q0", "q1", "r1", incremental=True)
    night(vault, "r2", "r3")
    unlock(vault)
    named = named_by(vault, "r1")
    assert [name for name in named if "/r1/" not in name]
    signed = vault.target.peek(manifest_of(vault, "r1"))
    assert signed
    vault.target.put_now(manifest_of(vault, "r1"), forged(vault, kind))
    prune(vault, keep_last=1)
    assert named <= set(vault.data())
    # Once it is back, what nobody names goes.
    vault.target.put_now(manifest_of(vault, "r1"), signed[0])
    prune(vault, keep_last=1)
    assert set(vault.data()) == named_by(vault, "r3")


def test_the_files_of_other_runs_go_while_a_folder_that_never_was_a_run_is_passed_over(vault: Copies) -> None:
    night(vault, "r1", "r2")
    vault.target.put_now("copies/gone/items/items_0.csv", b"of a copy that was killed")
    vault.target.put_now("copies/planted/items/items_0.csv", b"of a run that is unknown")
    unlock(vault)
    vault.target.put_now(manifest_of(vault, "planted"), b"junk")
    pruned = prune(vault, keep_last=1)
    assert removed(pruned) == ["r1"]
    assert set(vault.data()) == named_by(vault, "r2") | {"copies/planted/items/items_0.csv"}


def test_the_drill_that_has_proven_its_run_stays(vault: Copies) -> None:
    night(vault, "r1", "r2")
    for number, run in enumerate(("r1", "r2")):
        began = vault.source.now + number
        drill = Drill(run=run, snapshot=1, dataset="p.x", tool="1", began=began, ended=began, tables=1, of=1)
        asyncio.run(overwrite(vault.target, vault.there.layout.drill(f"d{number}"), drill))
    unlock(vault)
    vault.source.now += 30 * DAY
    vault.target.put_now(manifest_of(vault, "r1"), b"junk")
    prune(vault, keep_last=2)
    assert vault.target.peek(vault.there.layout.drill("d0").name)


def test_a_run_whose_tags_are_damaged_is_kept_and_stops_the_prune_only_without_a_trusted_key(vault: Copies) -> None:
    night(vault, "r1", "r2")
    unlock(vault)
    vault.target.put_now(vault.there.layout.tags("r1").name, b"junk")
    with pytest.raises(DocumentError, match=r"r1.*trust"):
        prune(vault, trust=False, keep_last=1)
    reasons = {run.run: run.reasons for run in prune(vault, keep_last=1).runs}
    assert reasons == {"r2": ("published", "last"), "r1": ("not trusted",)}
