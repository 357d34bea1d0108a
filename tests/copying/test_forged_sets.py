"""A copy of a set says what its datasets' manifests say, whatever was written into the source or into the vault."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from bqdump.adapters.movers import StreamMover
from bqdump.copying.run import copy as copy_runs
from bqdump.copying.survey import Locking, Place, Task
from bqdump.core.documents.codec import encode
from bqdump.core.documents.retention import PrunedRun
from bqdump.core.documents.run import Owner
from bqdump.core.documents.run_layout import RunLayout
from bqdump.core.documents.sets import DatasetEntry, SetManifest
from bqdump.core.documents.signature import Signature, envelope_of, statement_of
from bqdump.core.errors import UsageError, VerificationError
from bqdump.core.retention.policy import Policy
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.target import Target
from bqdump.ports.store import Abilities, Lock, ObjectStore
from bqdump.repository.manifests import load_manifest
from bqdump.repository.set_runs import read_set_manifest
from bqdump.repository.signatures import Trust, sign_manifest, trusting_store
from copying.sets_scene import Sets
from copying.test_interrupted import Key, KilledError, Watched
from retain.scene import DAY, KEEP

LATER = {"snapshot": 4102444800000, "snapshot_time": "2100-01-01T00:00:00Z"}


class Exporter(Key):
    async def key_id(self) -> str:
        return "SHA256:exporter"

    async def sign(self, data: bytes) -> bytes:
        return b"e" + hashlib.sha256(data).digest()


class Trusted:
    """The keys of the copier and of the exporter."""

    key_ids = ("SHA256:key", "SHA256:exporter")

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        digest = hashlib.sha256(data).digest()
        return signature in (digest, b"e" + digest)


class Copier:
    """The key of the copier alone."""

    key_ids = ("SHA256:key",)

    def has_signed(self, signature: bytes, data: bytes) -> bool:
        return signature == hashlib.sha256(data).digest()


def signed(sets: Sets, *, source: bool = False) -> ObjectStore:
    """The vault, or the source, as a reader finds it who trusts both keys."""
    store, at = (sets.world.store, sets.here) if source else (sets.target, sets.there)
    return trusting_store(store, at.target, Trust(Trusted()))


def tied(sets: Sets) -> dict[str, str]:
    """The run of each dataset of the newest set that such a reader finds."""
    found = asyncio.run(read_set_manifest(signed(sets), sets.there))
    assert found
    return {entry.dataset: entry.run for entry in found.datasets}


def export(sets: Sets, run: str) -> SetManifest:
    """A run of which the exporter signs each dataset; what it says of the set."""
    sets.export(run)
    for dataset in ("ops", "sales"):
        own = one_dataset(sets.here, dataset)
        asyncio.run(sign_manifest(sets.world.store, own.target, own.layout.run(run), Exporter()))
    return sets.world.set_manifest(path=KEEP)


def copy(sets: Sets, **settings: Any) -> Any:
    return sets.copy(signer=Key(), source=signed(sets, source=True), **settings)


def says(sets: Sets, manifest: SetManifest) -> None:
    sets.world.store.put_now(sets.here.layout.set_manifest.name, encode(manifest))


def entries(manifest: SetManifest, **changed: object) -> dict[str, object]:
    ops, sales = manifest.datasets
    return {"datasets": (ops, msgspec.structs.replace(sales, **changed))}


def earlier(before: SetManifest, state: str) -> dict[str, object]:
    sales: DatasetEntry = before.datasets[1]
    return {"datasets": (msgspec.structs.replace(sales, state=state),)}


FORGED: dict[str, tuple[Callable[[SetManifest, SetManifest], dict[str, object]], str]] = {
    "of 2100": (lambda _, now: LATER, "its document says 2100-01-01"),
    "of 2100, with its dataset": (
        lambda _, now: LATER | entries(now, snapshot_time=LATER["snapshot_time"]),
        "its document says 2100-01-01",
    ),
    "of two nights": (
        lambda before, now: {"datasets": (now.datasets[0], before.datasets[1])},
        "as published by it, its document names run n1 of dataset sales",
    ),
    "of two nights, as if the earlier one were the later one": (
        lambda before, now: {
            "datasets": (now.datasets[0], msgspec.structs.replace(before.datasets[1], state="superseded"))
        },
        "as later than it, its document names run n1 of dataset sales",
    ),
    "without a dataset": (
        lambda _, now: {"datasets": now.datasets[:1]},
        "it has exported dataset sales, which its document does not name",
    ),
    "without a dataset, as if that had left": (
        lambda _, now: {
            "datasets": now.datasets[:1],
            "removed": ({"dataset": "sales", "reason": "dropped", "run": "n1", "snapshot_time": ""},),
        },
        "it has exported dataset sales, which its document does not name",
    ),
}


@pytest.mark.parametrize("case", FORGED)
def test_a_copier_does_not_sign_what_the_source_says_and_no_manifest_of_its_datasets(case: str) -> None:
    sets = Sets()
    before = export(sets, "n1")
    copy(sets)
    now = export(sets, "n2")
    forged, cause = FORGED[case]
    changed = msgspec.convert(msgspec.to_builtins(now) | msgspec.to_builtins(forged(before, now)), SetManifest)
    says(sets, changed)
    with pytest.raises(VerificationError, match=cause):
        copy(sets)
    assert tied(sets) == {"ops": "n1", "sales": "n1"}
    says(sets, now)
    copy(sets)
    assert tied(sets) == {"ops": "n2", "sales": "n2"}
    export(sets, "n3")
    copy(sets)
    assert tied(sets) == {"ops": "n3", "sales": "n3"}


def test_what_is_said_of_an_earlier_run_is_compared_with_its_manifests_as_well() -> None:
    """Its plan and notes in the source are not signed either, and the runs after it are stored all the same."""
    sets = Sets()
    for run in ("n1", "n2"):
        export(sets, run)
    there = sets.world.store
    plan = sets.here.layout.set_run("n1").plan.name
    peeked = there.peek(plan)
    assert peeked
    there.put_now(plan, json.dumps(json.loads(peeked[0]) | {"snapshot": LATER["snapshot"]}).encode())
    with pytest.raises(VerificationError, match="run n1 of the set: its document says 2100-01-01"):
        copy(sets, every=True)
    assert tied(sets) == {"ops": "n2", "sales": "n2"}
    assert not [name for name in sets.target.names_now() if "/projects/n1/" in name]


def test_a_source_that_names_no_dataset_changes_nothing() -> None:
    sets = Sets()
    export(sets, "n1")
    copy(sets)
    says(sets, msgspec.structs.replace(export(sets, "n2"), datasets=()))
    with pytest.raises(VerificationError, match="it has exported dataset ops"):
        copy(sets)
    assert tied(sets) == {"ops": "n1", "sales": "n1"}


def test_numbers_of_the_source_are_not_repeated() -> None:
    sets = Sets()
    now = export(sets, "n1")
    says(sets, msgspec.structs.replace(now, **entries(now, rows=10**9, tables=0, location=now.datasets[1].location)))
    copy(sets)
    found = sets.published()
    assert found
    assert [(entry.tables, entry.rows) for entry in found.datasets] == [(2, 2), (2, 2)]


def unlocked(sets: Sets, name: str, data: bytes) -> int:
    lock, sets.target.lock = sets.target.lock, None
    generation = sets.target.put_now(name, data).generation
    sets.target.lock = lock
    return generation


def test_a_planted_run_of_one_dataset_is_not_named_in_the_set() -> None:
    sets = Sets()
    export(sets, "n1")
    copy(sets)
    export(sets, "n2")
    layout = one_dataset(sets.there, "sales").layout
    peeked = sets.target.peek(layout.run("n1").manifest.name)
    assert peeked
    unlocked(sets, layout.run("n2").manifest.name, json.dumps(json.loads(peeked[0]) | {"run": "n2"}).encode())
    done = copy(sets)
    assert {(run.dataset, run.state) for run in done.runs} == {("ops", "copied"), ("sales", "not copied")}
    found = sets.published()
    assert found
    assert (found.run, found.status, tied(sets)) == ("n2", "partial", {"ops": "n2", "sales": "n1"})
    assert "has another run of this id" in found.datasets[1].problem
    export(sets, "n3")
    copy(sets)
    assert tied(sets) == {"ops": "n3", "sales": "n3"}


@pytest.mark.parametrize("signer", [None, Key()])
def test_a_dataset_that_could_not_be_copied_keeps_the_last_run_that_the_copy_has(signer: Key | None) -> None:
    sets = Sets()
    for run in ("n1", "n2"):
        sets.export(run)
        sets.copy(signer=signer)
    sets.export("n3")
    there, names = sets.world.store, one_dataset(sets.here, "sales").layout.run("n3")
    there._objects.pop(names.manifest.name)
    there.put_now(one_dataset(sets.here, "sales").layout.mark("n3").name, encode(PrunedRun(run="n3")))
    # A later one of the dataset, which somebody has planted.
    layout = one_dataset(sets.there, "sales").layout
    peeked = sets.target.peek(layout.run("n1").manifest.name)
    assert peeked
    if signer:
        forged = json.loads(peeked[0]) | {"run": "n2b"}
        unlocked(sets, layout.run("n2b").manifest.name, json.dumps(forged).encode())
    sets.copy(signer=signer)
    found = sets.published()
    assert found
    (entry,) = (entry for entry in found.datasets if entry.dataset == "sales")
    assert (entry.run, entry.state, entry.status) == ("n2", "failed", "complete")
    assert "pruned" in entry.problem
    assert found.status == "partial"
    assert sets.tied() == {"ops": "n3", "sales": "n2"}


def test_a_copy_that_is_not_locked_keeps_the_last_run_of_a_dataset_as_well() -> None:
    sets = Sets()
    sets.export("n1")
    sets.copy(lock=0)
    sets.export("n2")
    there, names = sets.world.store, one_dataset(sets.here, "sales").layout.run("n2")
    there._objects.pop(names.manifest.name)
    there.put_now(one_dataset(sets.here, "sales").layout.mark("n2").name, encode(PrunedRun(run="n2")))
    sets.copy(lock=0)
    assert sets.tied() == {"ops": "n2", "sales": "n1"}


def forget(sets: Sets, before: set[str]) -> None:
    """Take what names the datasets together out of the vault, unless it was there before."""
    objects = sets.target._objects
    for name in [name for name in objects if name.startswith("copies/_bqdump/") and name not in before]:
        del objects[name]


def junk_signature(sets: Sets, name: str) -> bytes:
    """Somebody's signature of the manifest beside this name; no reader trusts it."""
    manifest = RunLayout(name.removesuffix("signature.json")).manifest.name
    peeked = sets.target.peek(manifest)
    assert peeked
    prefix = manifest.partition("_bqdump/")[0]
    place = str(msgspec.structs.replace(sets.there.target, prefix=prefix))
    envelope = envelope_of(peeked[0], manifest, place, of_set="/projects/" in name)
    return encode(msgspec.structs.replace(envelope, signatures=(Signature("SHA256:thief", b"x"),)))


OF = ["copies/_bqdump/projects/n2/", "copies/ops/_bqdump/runs/n2/"]


@pytest.mark.parametrize("kind", ["as Cloud Storage", "as S3"])
@pytest.mark.parametrize("planted", ["of another key", "junk", "of another run"])
@pytest.mark.parametrize("of", OF)
def test_a_signature_that_a_thief_stores_before_the_copier_does_keeps_no_signature_away(
    of: str, planted: str, kind: str
) -> None:
    sets = Sets(Abilities(listed_checksums=kind == "as Cloud Storage"))
    export(sets, "n1")
    copy(sets)
    export(sets, "n2")
    (before,) = [
        name for name in sets.target.names_now() if name.startswith(of.replace("n2", "n1")) and "signature" in name
    ]
    stored, done = sets.target.peek(before), list[str]()
    assert stored

    def thief(what: str, name: str) -> None:
        signature = not done and name.startswith(of) and name.endswith("signature.json")
        if signature and sets.target.peek(name.replace("signature.json", "manifest.json")):
            done.append(name)
            forged = {"of another key": junk_signature(sets, name), "junk": b"junk", "of another run": stored[0]}
            unlocked(sets, name, forged[planted])

    copied = copy(sets, target=Watched(sets.target, thief))
    assert done
    assert tied(sets) == {"ops": "n2", "sales": "n2"}
    (second,) = [name for name in sets.target.names_now() if name.startswith(of) and "signature-" in name]
    # All of it is locked as long, also once the copy is repeated, which signs nothing again.
    names = sets.target.names_now()
    copied = copy(sets, lock=40)
    assert sets.target.names_now() == names
    until = min(run.locked_until for run in copied.runs).timestamp() * 1000
    peeked = sets.target.peek(second)
    assert peeked
    assert peeked[1].locked_until >= until


@pytest.mark.parametrize("of", OF)
def test_a_copy_that_was_killed_before_it_signed_is_signed_by_the_next_one_whatever_a_thief_stores_meanwhile(
    of: str,
) -> None:
    sets = Sets()
    export(sets, "n1")
    copy(sets)
    export(sets, "n2")

    def killed(what: str, name: str) -> None:
        if name.startswith(of) and name.endswith("signature.json"):
            raise KilledError(name)

    with pytest.raises(KilledError):
        copy(sets, target=Watched(sets.target, killed))
    assert tied(sets) == {"ops": "n1", "sales": "n1"}
    (manifest,) = [name for name in sets.target.names_now() if name.startswith(of) and name.endswith("manifest.json")]
    name = manifest.replace("manifest.json", "signature.json")
    unlocked(sets, name, junk_signature(sets, name))
    copy(sets)
    assert tied(sets) == {"ops": "n2", "sales": "n2"}


@pytest.mark.parametrize(("every", "old"), [(False, False), (True, False), (True, True)])
def test_after_a_rotation_of_keys_the_newest_run_is_compared_and_signed_and_earlier_ones_stay_as_they_are(
    every: bool, old: bool
) -> None:
    """old: the former key is still trusted. Otherwise, no success is reported for what it has signed."""
    sets = Sets()
    for run in ("n1", "n2"):
        export(sets, run)
        sets.copy(signer=Exporter(), source=signed(sets, source=True))
    names, before = set(sets.target.names_now()), locks(sets, "n1")
    copied = copy(sets, every=every, lock=40, trusted=Trusted() if old else None)
    assert tied(sets) == {"ops": "n2", "sales": "n2"}
    added = set(sets.target.names_now()) - names
    assert {name.split("/signature-")[0].rpartition("_bqdump/")[2].split("/")[1] for name in added} == {"n2"}, added
    assert {run.run: run.state for run in copied.runs} == (
        {"n1": "there" if old else "not trusted", "n2": "there"} if every else {"n2": "there"}
    )
    assert [run.run for run in copied.not_copied] == (["n1", "n1"] if every and not old else [])
    after = locks(sets, "n1")
    assert {after[name] > before[name] for name in before} == {every}, (before, after)


def locks(sets: Sets, run: str) -> dict[str, int]:
    """Until when the documents of a run are locked, also those of the set."""
    found = {name: sets.target.peek(name) for name in sets.target.names_now() if f"/{run}" in name}
    return {name: peeked[1].locked_until for name, peeked in found.items() if peeked and "_bqdump/" in name}


def test_datasets_of_one_night_that_two_keys_have_signed_belong_together() -> None:
    sets = Sets()
    export(sets, "n1")
    sets.copy(signer=Exporter(), source=signed(sets, source=True))
    export(sets, "n2")

    def killed(what: str, name: str) -> None:
        if name.startswith("copies/sales/"):
            raise KilledError(name)

    with pytest.raises(KilledError):
        sets.copy(target=Watched(sets.target, killed), signer=Exporter(), source=signed(sets, source=True))
    copy(sets)
    assert tied(sets) == {"ops": "n2", "sales": "n2"}
    # Also for whoever trusts the newer key only.
    store = trusting_store(sets.target, sets.there.target, Trust(Copier()))
    assert asyncio.run(read_set_manifest(store, sets.there)) == sets.published()
    for dataset in ("ops", "sales"):
        own = one_dataset(sets.there, dataset)
        assert asyncio.run(load_manifest(store, own, "n2")).value.dataset == dataset


@pytest.mark.parametrize("member", [{"dataset": "sales"}, {"new": [1]}])
def test_a_manifest_of_a_set_with_more_than_this_copy_stores_there_is_not_signed(member: dict[str, object]) -> None:
    sets = Sets()
    export(sets, "n1")
    copy(sets)
    export(sets, "n2")
    before = set(sets.target.names_now())
    copy(sets)
    (name,) = [one for one in sets.target.names_now() if "/projects/n2/" in one and one.endswith("/manifest.json")]
    peeked = sets.target.peek(name)
    assert peeked
    forget(sets, before)
    unlocked(sets, name, json.dumps(json.loads(peeked[0]) | member).encode())
    with pytest.raises(VerificationError, match="it was stored before"):
        copy(sets)
    assert name.replace("manifest.json", "signature.json") not in sets.target.names_now()
    assert tied(sets) == {"ops": "n1", "sales": "n1"}


def test_a_run_of_the_set_that_cannot_be_stored_does_not_hold_back_later_ones() -> None:
    sets = Sets()
    for run in ("n1", "n2"):
        export(sets, run)
    copy(sets)
    before = set(sets.target.names_now())
    copy(sets, every=True)
    (pointer,) = [name for name in sets.target.names_now() if name.startswith("copies/_bqdump/pointers/n1.")]
    peeked = sets.target.peek(pointer)
    assert peeked
    forget(sets, before)
    unlocked(sets, pointer, peeked[0].replace(b'"complete"', b'"partial"'))
    export(sets, "n3")
    with pytest.raises(VerificationError, match="it was stored before"):
        copy(sets, every=True)
    assert tied(sets) == {"ops": "n3", "sales": "n3"}


def test_a_dataset_that_the_source_no_longer_knows_is_named(caplog: pytest.LogCaptureFixture) -> None:
    sets = Sets()
    export(sets, "n1")
    copy(sets)
    now = export(sets, "n2")
    caplog.set_level(logging.WARNING)
    for name in [name for name in sets.world.store.names_now() if name.startswith(sets.here.target.prefix + "sales/")]:
        del sets.world.store._objects[name]
    says(sets, msgspec.structs.replace(now, datasets=now.datasets[:1]))
    copy(sets)
    assert "run n2 of the set does not name dataset sales of run n1, the last one in gs://second/copies/" in caplog.text
    assert tied(sets) == {"ops": "n2"}
    caplog.clear()
    copy(sets)
    assert "does not name" not in caplog.text


def copy_ops(sets: Sets, dataset: str, lock: int) -> None:
    """Copy one dataset alone, to the folder that the vault has for a dataset of this name."""
    here, there = one_dataset(sets.here, "ops"), one_dataset(sets.there, dataset)
    until = (sets.world.time // 1000 + 1) * 1000 + 14 * DAY
    sets.target.lock = Lock(until) if lock else None
    sides = Place(sets.world.store, here), Place(sets.target, there)
    locking = Locking(sets.target, until, "governance", lambda: sets.world.time) if lock else None
    mover = StreamMover(sets.world.store, sets.target)
    task = Task(*sides, mover, Owner("copy", 0), sets.world.time, lock=locking)
    asyncio.run(copy_runs(task, (), Policy(), every=False))


@pytest.mark.parametrize(
    ("dataset", "lock", "held"),
    [("zoo", 14, "copies of p.ops"), ("ops", 0, "copies of p.ops that are not locked in the same way")],
)
def test_a_vault_of_sets_does_not_begin_around_other_copies(dataset: str, lock: int, held: str) -> None:
    sets = Sets()
    sets.export("n1")
    copy_ops(sets, dataset, lock)
    before = sets.target.names_now()
    with pytest.raises(UsageError, match=rf"gs://second/copies/{dataset}/ is inside it, and holds {held}\."):
        sets.copy("n1")
    assert sets.target.names_now() == before


def test_a_vault_of_sets_begins_around_locked_copies_of_its_datasets() -> None:
    sets = Sets()
    sets.export("n1")
    copy_ops(sets, "ops", 14)
    sets.copy("n1")
    assert sets.tied() == {"ops": "n1", "sales": "n1"}


@pytest.mark.parametrize(("dataset", "lock"), [("zoo", 14), ("ops", 0)])
def test_a_folder_of_a_vault_of_sets_takes_copies_of_its_dataset_alone_and_locked_ones(dataset: str, lock: int) -> None:
    sets = Sets()
    sets.export("n1")
    sets.copy("n1")
    for name in [name for name in sets.target.names_now() if name.startswith("copies/ops/")]:
        # As if the dataset had not been copied yet.
        del sets.target._objects[name]
    before = sets.target.names_now()
    with pytest.raises(UsageError, match="it is inside gs://second/copies"):
        copy_ops(sets, dataset, lock)
    assert sets.target.names_now() == before
    # That of the dataset, in the same way.
    sets.copy("n1")
    assert sets.tied() == {"ops": "n1", "sales": "n1"}


def test_a_vault_that_was_moved_says_how_its_datasets_are_read() -> None:
    sets = Sets()
    export(sets, "n1")
    copy(sets)
    moved = Target("gs", "mirror", "copies/")
    there = msgspec.structs.replace(sets.there, target=moved)

    def store(prefix: str, dataset: str) -> ObjectStore:
        return trusting_store(sets.target, Target("gs", "mirror", prefix), Trust(Trusted(), "p", dataset))

    own = one_dataset(there, "sales")
    with pytest.raises(VerificationError, match="and read from gs://mirror/copies") as of:
        asyncio.run(read_set_manifest(store("copies/", "sales"), there))
    assert "read its datasets one by one" in of.value.hint
    with pytest.raises(VerificationError, match="and read from gs://mirror/copies/sales") as single:
        asyncio.run(load_manifest(store("copies/", "sales"), own, "n1"))
    assert single.value.hint.endswith("{setting:prefix} copies/sales")
    assert asyncio.run(load_manifest(store("copies/sales/", "sales"), own, "n1")).value.run == "n1"
    with pytest.raises(VerificationError, match="and not of ops"):
        asyncio.run(load_manifest(store("copies/sales/", "ops"), own, "n1"))


def test_what_is_signed_of_a_set_is_of_a_set_whatever_its_manifest_says() -> None:
    manifest = b'{"project": "p", "run": "n1", "snapshot_time": "2026-01-01T00:00:00Z", "dataset": "sales"}'
    for of_set, dataset in ((True, "*"), (False, "sales")):
        statement = statement_of(envelope_of(manifest, "manifest.json", "", of_set=of_set))
        assert statement
        assert statement.predicate.dataset == dataset


def test_a_dataset_that_was_created_after_a_run_is_not_missed_in_it_when_it_is_copied_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sets = Sets()
    sets.export("n1")
    sets.world.put("shop", "orders")
    sets.export("n2")
    sets.copy()
    caplog.set_level(logging.WARNING)
    assert {one.run for one in sets.copy("n1").runs} == {"n1"}
    assert "does not name" not in caplog.text
    assert sets.tied() == {"ops": "n2", "sales": "n2", "shop": "n2"}
