"""What somebody without a key plants in the vault of a set, or keeps from it, stops neither copies nor prunes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

import bqdump.copying.sets
from bqdump.copying.survey import Task
from bqdump.core.copy.plan import Copied
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.sets import SetManifest
from bqdump.core.documents.target import SET, Latest
from bqdump.core.errors import UnavailableError
from bqdump.core.retention.pruned import Pruned
from bqdump.core.sets.member import one_dataset
from bqdump.ports.store import ObjectStore
from bqdump.repository.set_runs import read_set_manifest
from bqdump.repository.signatures import Trust, trusting_store
from bqdump.verbs import retention
from copying.sets_scene import Sets
from copying.test_forged_sets import Exporter
from copying.test_interrupted import Key
from retain.scene import DAY

LATE = 4_102_444_800_000


class Keys:
    key_ids = ("SHA256:key",)

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        return signature == hashlib.sha256(data).digest()


def believing(sets: Sets) -> ObjectStore:
    return trusting_store(sets.target, sets.there.target, Trust(Keys()))


def plant(sets: Sets, manifest: bytes, project: str = "p", number: int = 0) -> None:
    """A set of the year 2100, and a pointer to it."""
    layout, digest = sets.there.layout, "f" * 16
    lock, sets.target.lock = sets.target.lock, None
    document = layout.set_run("x9").manifest(digest)
    info = sets.target.put_now(document.name, manifest)
    pointer = Latest(
        run="x9",
        number=number,
        dataset=SET,
        project=project,
        snapshot_time="2100-01-01T00:00:00Z",
        snapshot=LATE,
        status="complete",
        mode="keep",
        manifest=document.name,
        manifest_generation=info.generation,
        locked=True,
    )
    sets.target.put_now(layout.set_pointer("x9", digest).name, encode(pointer))
    sets.target.lock = lock


def pruned(sets: Sets, monkeypatch: pytest.MonkeyPatch, days: int = 0, **settings: int) -> Pruned:
    """As `bqdump prune --trust --yes` does it, so many days later."""
    sets.world.time += days * DAY
    sets.target.lock = None
    monkeypatch.setattr("bqdump.verbs.retention.time.time", lambda: sets.world.time / 1000)
    monkeypatch.setattr(retention, "trusting", lambda _, own: lambda __: trusting_store(sets.target, own.target, TRUST))
    chosen = replace(sets.there, trust=("key.pub",), **settings)
    return asyncio.run(retention.prune(lambda _: sets.target, chosen, delete=True))


TRUST = Trust(Keys())
FORGED: dict[str, Callable[[SetManifest], bytes]] = {
    "damaged": lambda _: b'{"run":"x9","snapshot":%d,"datasets":[1]}' % LATE,
    "with the manifest of a dataset elsewhere": lambda found: encode(
        replace(found, run="x9", snapshot=LATE, datasets=(replace(found.datasets[0], manifest="a"),))
    ),
    "with another number of datasets": lambda found: encode(replace(found, run="x9", snapshot=LATE)),
}


@pytest.mark.parametrize("kind", FORGED)
def test_a_planted_set_that_no_copy_could_have_written_is_passed_over(
    kind: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = Sets()
    sets.export("n1")
    sets.copy(signer=Key())
    found = sets.published()
    assert found
    plant(sets, FORGED[kind](found), number=1)
    assert set(sets.tied().values()) == {"n1"}
    assert "x9" in caplog.text
    sets.export("n2")
    sets.copy(signer=Key())
    assert set(sets.tied().values()) == {"n2"}
    assert {run.run for run in pruned(sets, monkeypatch, keep_last=2).kept} == {"n1", "n2"}


@pytest.mark.parametrize("kind", ["of another project", "of other datasets"])
def test_a_planted_set_does_not_stop_the_next_copy(kind: str) -> None:
    sets = Sets()
    sets.export("n1")
    sets.copy(signer=Key())
    found = sets.published()
    assert found
    other = replace(found.datasets[0], dataset="zoo", manifest="", run="")
    project = "q" if kind == "of another project" else "p"
    forged = replace(found, run="x9", snapshot=LATE, project=project, datasets=(other,))
    plant(sets, encode(forged), project)
    sets.export("n2")
    sets.copy(signer=Key())
    tied = asyncio.run(read_set_manifest(believing(sets), sets.there))
    assert tied
    assert {entry.run for entry in tied.datasets} == {"n2"}


def test_prune_keeps_what_the_newest_set_names_while_copies_stop_after_their_first_dataset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sets = Sets()
    sets.export("n1")
    sets.copy(lock=2, signer=Key())
    each = bqdump.copying.sets._copy_dataset

    async def stopped(task: Task, name: str, *rest: Any, **options: Any) -> Copied:
        if name == "sales":
            raise UnavailableError("copy", name, "the machine was stopped")
        return await each(task, name, *rest, **options)

    for run in ("n2", "n3", "n4"):
        sets.export(run)
        monkeypatch.setattr(bqdump.copying.sets, "_copy_dataset", stopped)
        with pytest.raises(UnavailableError):
            sets.copy(lock=2, signer=Key())
    done = pruned(sets, monkeypatch, days=10, keep_last=1)
    assert ("p.ops", "n2") in {(run.dataset, run.run) for run in done.removed}
    assert set(sets.tied().values()) == {"n1"}


def test_prune_keeps_what_names_a_run_of_a_dataset_that_has_left_where_it_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sets = Sets()
    sets.export("n1")
    sets.copy(lock=2, signer=Key())
    for run in ("n2", "n3"):
        sets.export(run, dataset="ops*", allow=frozenset({"removed-tables"}))
        sets.copy(lock=2, signer=Key())
    for name in sets.target.names_now():
        if "/projects/n1/" in name and name.endswith("signature.json"):
            sets.target._objects.pop(name)
    pruned(sets, monkeypatch, days=10, keep_last=1)
    assert any("/projects/n1/" in name for name in sets.target.names_now())


def test_with_a_key_only_a_signed_set_says_which_datasets_belong_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = Sets()
    for run in ("n1", "n2", "n3"):
        sets.export(run)
        sets.copy(lock=2, signer=Key())
    found, layout, lock = sets.published(), sets.there.layout, sets.target.lock
    assert found
    sets.target.lock = None
    for run in ("n1", "n2", "n3"):
        # Without a key, a set with more datasets of a run counts more.
        folders = {name: one_dataset(sets.there, name).layout.run(run).manifest.name for name in ("a", "b", "c")}
        entries = [replace(found.datasets[0], dataset=name, run=run, manifest=own) for name, own in folders.items()]
        names = [name for name in sets.target.names_now() if name.startswith(f"{layout.pointers.folder}{run}.")]
        peeked, digest = sets.target.peek(names[0]), "f" * 16
        assert peeked
        pointer, document = decode(peeked[0], Latest, names[0]), layout.set_run(run).manifest(digest).name
        forged = replace(found, run=run, snapshot=pointer.snapshot, datasets=tuple(entries))
        info = sets.target.put_now(document, encode(forged))
        planted = replace(pointer, number=3, manifest=document, manifest_generation=info.generation)
        sets.target.put_now(layout.set_pointer(run, digest).name, encode(planted))
    sets.target.lock = lock
    assert set(sets_of(sets.published())) == {"a", "b", "c"}
    done = pruned(sets, monkeypatch, days=10, keep_last=1)
    assert {(run.dataset, run.run) for run in done.removed} == {
        (f"p.{name}", run) for name in ("ops", "sales") for run in ("n1", "n2")
    }
    assert {(run.dataset, run.run) for run in done.kept} == {("p.ops", "n3"), ("p.sales", "n3")}
    tied = asyncio.run(read_set_manifest(believing(sets), sets.there))
    assert set(sets_of(tied)) == {"ops", "sales"}


def sets_of(manifest: SetManifest | None) -> list[str]:
    return [entry.dataset for entry in manifest.datasets] if manifest else []


def test_prune_deletes_a_second_signature_with_its_set_and_the_log_sends_nobody_to_restore_what_was_planted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sets = Sets()
    sets.export("n1")
    sets.copy(lock=2, signer=Exporter())
    # By another key, in the same place.
    sets.copy(lock=2, signer=Key())
    second = [name for name in sets.target.names_now() if "/signature-" in name]
    assert {name.split("/")[-3] for name in second} == {"runs", "n1"}, second
    sets.export("n2")
    sets.copy(lock=2, signer=Key())
    lock, sets.target.lock = sets.target.lock, None
    sets.target.put_now(f"{sets.there.layout.pointers.folder}junk.json", b"junk")
    sets.target.lock = lock
    pruned(sets, monkeypatch, days=10, keep_last=1)
    assert not [name for name in sets.target.names_now() if "/n1" in name]
    assert "pointers/junk.json is not used: it is not a valid Latest" in caplog.text
    assert "Restore an earlier version" not in caplog.text
