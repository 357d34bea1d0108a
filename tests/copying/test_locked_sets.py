"""Locked copies of sets: what names their datasets together is written once, last, and found by every reader."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.movers import StreamMover
from bqdump.copying.sets import copy_exports
from bqdump.copying.survey import Place, Task
from bqdump.core.copy.manifest import pointer_to
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.retention import PrunedRun
from bqdump.core.documents.run import Owner
from bqdump.core.documents.sets import Ended
from bqdump.core.documents.target import Latest, Newest
from bqdump.core.errors import VerificationError
from bqdump.core.retention.policy import Policy
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.target import Target
from bqdump.ports.store import Abilities
from bqdump.repository.complete_runs import holds_export
from bqdump.repository.exports import exports_at
from bqdump.repository.repository import value_of
from bqdump.repository.set_runs import locked_set, read_set_manifest
from bqdump.ui.archive import Collection
from bqdump.ui.sets import datasets_page, set_run_page
from copying.sets_scene import Sets
from copying.test_interrupted import Key, KilledError, Watched
from entries import entry
from opened import snapshot_of
from retain.scene import KEEP
from tiers import points


@pytest.fixture(params=["as Cloud Storage", "as S3"])
def vault(request: pytest.FixtureRequest) -> Sets:
    return Sets(Abilities(listed_checksums=request.param == "as Cloud Storage"))


def kills_at(number: int, below: str = "") -> Callable[[str, str], None]:
    left = iter(range(number))

    def before(what: str, name: str) -> None:
        if name.startswith(below) and next(left, None) is None:
            raise KilledError(f"{what} {name}")

    return before


@pytest.mark.parametrize("late", [False, True])
def test_a_copy_of_a_set_that_is_killed_leaves_the_last_set_and_is_resumed(late: bool) -> None:
    begun = Sets()
    begun.export("n1")
    begun.copy(signer=Key())
    begun.export("n2")
    before = dict(begun.target._objects)
    number, seen = 0, set[str]()
    while True:
        begun.target._objects = dict(before)
        try:
            begun.copy(target=Watched(begun.target, kills_at(number), late=late), signer=Key())
        except KilledError:
            pass
        else:
            break
        tied = begun.tied()
        seen.add(",".join(sorted(set(tied.values()))))
        assert set(tied.values()) in ({"n1"}, {"n2"}), (number, tied)
        begun.copy(signer=Key())
        assert set(begun.tied().values()) == {"n2"}, number
        documents = [name for name in begun.target.names_now() if "/projects/n2/" in name]
        assert len(documents) == 2, documents
        number += 7
    assert "n1" in seen


def test_wherever_the_first_copy_of_a_set_is_killed_readers_find_the_set_that_a_pointer_names(vault: Sets) -> None:
    vault.export("n1")
    before, layout = dict(vault.target._objects), vault.there.layout
    seen = set[bool]()
    for number in points(itertools.count()):
        vault.target._objects = dict(before)
        try:
            vault.copy(target=Watched(vault.target, kills_at(number, layout.root), late=True), signer=Key())
            killed = False
        except KilledError:
            killed = True
        named = any(name.startswith(layout.pointers.folder) for name in vault.target.names_now())
        seen.add(named)
        if named:
            assert vault.tied() == {"ops": "n1", "sales": "n1"}, number
            assert asyncio.run(exports_at(lambda _: vault.target, vault.there)).set_at, number
        vault.copy(signer=Key())
        assert vault.tied() == {"ops": "n1", "sales": "n1"}, number
        if not killed:
            break
    assert seen == {False, True}


@pytest.mark.parametrize("lock", [14, 0], ids=["locked", "not locked"])
@pytest.mark.parametrize("which", ["the published run", "a named run", "every run"])
def test_a_run_of_a_set_whose_source_is_pruned_while_it_is_copied_is_named_in_the_copy(
    which: str, lock: int, vault: Sets
) -> None:
    vault.export("n1")
    source, name = vault.world.store, vault.here.layout.set_manifest.name
    first = source.peek(name)
    vault.export("n2")
    second = source.peek(name)
    assert first
    assert second
    if which == "the published run":
        source.put_now(name, first[0])

    def pruned(what: str, asked: str) -> None:
        # A prune deletes what the set's run has once its datasets have gone, which were copied by then.
        if what == "write" and asked == one_dataset(vault.there, "sales").layout.run("n1").report:
            source.put_now(name, second[0])
            for own in [own for own in source.names_now() if "/projects/n1/" in own]:
                source._objects.pop(own)

    runs = ("n1",) if which == "a named run" else ()
    vault.copy(*runs, lock=lock, target=Watched(vault.target, pruned), every=which == "every run")
    assert not [own for own in source.names_now() if "/projects/n1/" in own]
    if lock:
        found = asyncio.run(locked_set(vault.target, vault.there, "n1"))
        assert found
        assert {(entry.dataset, entry.run) for entry in found.datasets} == {("ops", "n1"), ("sales", "n1")}
        assert found.status == "complete"
    else:
        assert asyncio.run(value_of(vault.target, vault.there.layout.set_run("n1").plan))


@pytest.mark.parametrize("lock", [14, 0], ids=["locked", "not locked"])
def test_rules_choose_the_runs_of_each_dataset_and_no_plan_of_another_run_is_read(lock: int, vault: Sets) -> None:
    for run in ("n1", "n2", "n3"):
        vault.export(run)
    asked = list[str]()
    watched = Watched(vault.world.store, lambda what, name: asked.append(name) if what == "read" else None)
    copied = vault.copy(source=watched, lock=lock, policy=Policy(last=2))
    assert [(run.dataset, run.run) for run in copied.runs] == [
        (name, run) for name in ("ops", "sales") for run in ("n2", "n3")
    ]
    plans = {run: vault.here.layout.set_run(run).plan.name for run in ("n1", "n2", "n3")}
    assert {run for run, name in plans.items() if name in asked} == {"n2", "n3"}
    assert vault.tied() == {"ops": "n3", "sales": "n3"}
    stored = {name.split("/projects/")[1].split("/")[0] for name in vault.target.names_now() if "/projects/" in name}
    assert stored == {"n2", "n3"}


@pytest.mark.parametrize("lock", [14, 0], ids=["locked", "not locked"])
@pytest.mark.parametrize("half", [True, False], ids=["half pruned", "pruned"])
def test_a_dataset_that_was_superseded_has_not_failed_where_its_source_is_pruned_meanwhile(
    half: bool, lock: int, vault: Sets
) -> None:
    for run in ("n1", "n2"):
        vault.export(run)
    source, ops, layout = vault.world.store, one_dataset(vault.here, "ops").layout, vault.here.layout.set_run("n1")
    # Run n2 was published when the dataset's turn in run n1 came.
    for name in [
        name for name in source.names_now() if name.startswith((ops.run("n1").root, entry(source, ops, "n1")))
    ]:
        source._objects.pop(name)
    ended = decode(asyncio.run(source.read(layout.receipt(0).name)).data, Ended, "")
    later = snapshot_of(source, ops, "n2")
    source.put_now(layout.receipt(0).name, encode(replace(ended, state="superseded", run="n2", snapshot=later)))

    def pruned(what: str, asked: str) -> None:
        if what == "write" and asked == one_dataset(vault.there, "sales").layout.run("n1").report:
            for own in [own for own in source.names_now() if own.startswith(layout.root)]:
                if not half or own != layout.plan.name:
                    source._objects.pop(own)

    vault.copy(lock=lock, target=Watched(vault.target, pruned), every=True)
    assert source.peek(layout.receipt(0).name) is None
    if lock:
        found = asyncio.run(locked_set(vault.target, vault.there, "n1"))
        assert found
        states = {entry.dataset: (entry.state, entry.run) for entry in found.datasets}
        assert states == {"ops": ("superseded", "n2"), "sales": ("published", "n1")}
    else:
        note = asyncio.run(value_of(vault.target, vault.there.layout.set_run("n1").receipt(0)))
        assert note
        assert (note.state, note.run) == ("superseded", "n2")


def test_a_copy_of_a_locked_copy_looks_once_for_what_names_a_run_of_the_set(vault: Sets) -> None:
    for run in ("n1", "n2"):
        vault.export(run)
        vault.copy()
    vault.target.lock, third = None, MemoryStore("third")
    named = vault.there.layout.set_run("n1").root
    asked = list[str]()
    watched: Any = Watched(vault.target, lambda what, name: asked.append(name) if name.startswith(named) else None)
    there = replace(vault.here, target=Target("gs", "third", "more/"))
    sides = Place(watched, vault.there, vault.target), Place(third, there)
    work = Task(*sides, StreamMover(vault.target, third), Owner("copy", 0), vault.world.time)
    asyncio.run(copy_exports(work, ("n1",), Policy(), every=False))
    found = asyncio.run(read_set_manifest(third, there))
    assert found
    assert [(entry.dataset, entry.run) for entry in found.datasets] == [("ops", "n1"), ("sales", "n1")]
    # Its pointer is valid where it is there, and then it is read.
    assert len(asked) == 2


def test_a_set_that_lacks_a_dataset_gets_another_manifest_once_that_is_copied(vault: Sets) -> None:
    vault.export("n1")
    vault.copy()
    vault.export("n2")
    there = vault.world.store
    names = one_dataset(vault.here, "sales").layout.run("n2")
    lost = there._objects.pop(names.manifest.name)
    there.put_now(one_dataset(vault.here, "sales").layout.mark("n2").name, encode(PrunedRun(run="n2")))
    done = vault.copy()
    assert {(run.dataset, run.state) for run in done.runs} == {("ops", "copied"), ("sales", "not copied")}
    partial = vault.published()
    assert partial
    assert (partial.run, partial.status) == ("n2", "partial")
    # The last run of it that the copy has, and why it lacks this one.
    assert [(entry.run, entry.state) for entry in partial.datasets] == [("n2", "published"), ("n1", "failed")]
    assert "pruned" in partial.datasets[1].problem
    assert vault.tied() == {"ops": "n2", "sales": "n1"}
    there._objects[names.manifest.name] = lost
    there._objects.pop(one_dataset(vault.here, "sales").layout.mark("n2").name)
    vault.copy()
    assert vault.tied() == {"ops": "n2", "sales": "n2"}
    # The other manifest is still there: nothing is written again.
    assert len([name for name in vault.target.names_now() if "/projects/n2/" in name]) == 2
    # A copy whose source knows less by now tells nothing else.
    vault.export("n3")
    vault.copy(every=True)
    assert vault.tied() == {"ops": "n3", "sales": "n3"}
    assert len([name for name in vault.target.names_now() if "/projects/n2/" in name]) == 2


def test_prune_deletes_what_names_a_set_once_its_datasets_and_their_locks_have_gone(vault: Sets) -> None:
    for run in ("n1", "n2", "n3"):
        vault.export(run, incremental=True)
        vault.copy(lock=5)
    done, left = vault.prune(1, keep_last=1)
    assert [run.run for run in done.removed] == []
    assert len([name for name in left if name.startswith("pointers/")]) == 3
    done, left = vault.prune(10, keep_last=1)
    assert {(run.dataset, run.run) for run in done.removed} == {
        (f"p.{dataset}", run) for dataset in ("ops", "sales") for run in ("n1", "n2")
    }
    assert {name.split("/")[1].partition(".")[0] for name in left if "/" in name} == {"n3"}
    assert vault.tied() == {"ops": "n3", "sales": "n3"}


def test_a_planted_pointer_of_another_kind_decides_nothing(vault: Sets) -> None:
    vault.export("n1")
    vault.copy()
    vault.target.lock = None
    found = vault.published()
    assert found
    layout = vault.there.layout
    stolen = Latest(
        run="n9", dataset="sales", project="p", snapshot_time="2100-01-01T00:00:00Z", snapshot=4102444800000,
        status="complete", mode="keep", manifest=layout.run("n9").manifest.name, manifest_generation=1, locked=True,
    )  # fmt: skip
    vault.target.put_now(layout.set_pointer("n9", "0" * 16).name, encode(stolen))
    vault.target.put_now(layout.newest.name, encode(Newest("n9")))
    assert vault.published() == found
    assert not asyncio.run(holds_export(vault.target, vault.there))
    # The same in the place of one dataset: a set that is planted there.
    own = msgspec.structs.replace(
        vault.there, target=msgspec.structs.replace(vault.there.target, prefix="copies/sales/")
    )
    manifest = own.layout.set_run("n9").manifest("0" * 16)
    planted = vault.target.put_now(manifest.name, encode(msgspec.structs.replace(found, run="n9")))
    of_set = msgspec.structs.replace(stolen, dataset="*", manifest=manifest.name, manifest_generation=1)
    vault.target.put_now(own.layout.set_pointer("n9", "0" * 16).name, encode(of_set))
    vault.target.put_now(own.layout.set_manifest.name, encode(msgspec.structs.replace(found, run="n9")))
    assert asyncio.run(holds_export(vault.target, own)), planted
    exports = asyncio.run(exports_at(lambda _: vault.target, own))
    assert not exports.set_at


def test_a_document_that_somebody_else_has_stored_under_the_name_of_a_set_is_named(vault: Sets) -> None:
    vault.export("n1")
    vault.copy()
    vault.export("n2")
    vault.copy()
    (name,) = [name for name in vault.target.names_now() if name.startswith("copies/_bqdump/pointers/n2.")]
    pointer, manifest, after = vault.target.peek(name), vault.published(), dict(vault.target._objects)
    assert pointer
    assert manifest
    digest = name.split(".")[-2]
    document = vault.there.layout.set_run("n2").manifest(digest).name
    # A thief who knows what the copy will store there is faster.
    for planted, forged in ((name, pointer[0]), (document, encode(manifest))):
        vault.target._objects = {
            key: value for key, value in after.items() if not key.startswith("copies/_bqdump/") or "n2" not in key
        }
        vault.target.put_now(planted, forged.replace(b'"complete"', b'"partial"'))
        with pytest.raises(VerificationError, match="it was stored before"):
            vault.copy()
        assert vault.tied() == {"ops": "n1", "sales": "n1"}


def test_a_set_of_the_source_that_mixes_two_nights_is_not_locked(vault: Sets) -> None:
    vault.export("n1")
    vault.export("n2")
    there, name = vault.world.store, vault.here.layout.set_manifest.name
    stored = vault.world.set_manifest(path=KEEP)
    mixed = tuple(msgspec.structs.replace(entry, run="n1") for entry in stored.datasets[:1])
    there.put_now(name, encode(msgspec.structs.replace(stored, datasets=(*mixed, *stored.datasets[1:]))))
    with pytest.raises(VerificationError, match="names run n1 of dataset ops"):
        vault.copy()
    found = vault.published()
    assert found
    # What the copy has of the earlier night; the other dataset was not copied of that.
    assert [(entry.run, entry.state) for entry in found.datasets] == [("n1", "published"), ("", "failed")]


def test_the_console_shows_the_newest_set_of_a_vault(vault: Sets) -> None:
    for run in ("n1", "n2"):
        vault.export(run)
        vault.copy()
    vault.target.put_now(vault.there.layout.newest.name, encode(Newest("n9")))
    collection = Collection(vault.target, vault.there)

    def shown(page: Callable[..., Coroutine[Any, Any, Response]], **parameters: str) -> str:
        request = Request({"type": "http", "query_string": b"", "headers": [], "path_params": parameters})
        return bytes(asyncio.run(page(collection, request)).body).decode()

    page = shown(datasets_page)
    assert "2 datasets published by run <code>n2</code>" in page
    assert "n9" not in page
    assert "Superseded." in shown(set_run_page, run="n1")
    assert "Published." in shown(set_run_page, run="n2")


@pytest.mark.parametrize("signer", [None, Key()], ids=["unsigned", "signed"])
def test_what_ties_a_run_together_is_locked_as_long_as_its_datasets_where_the_source_has_forgotten_the_set(
    signer: Key | None, vault: Sets
) -> None:
    vault.export("n1")
    vault.copy(lock=2, signer=signer)
    ties = [name for name in vault.target.names_now() if re.search(r"_bqdump/(pointers|projects/n1)/", name)]
    ties = [name for name in ties if name.startswith("copies/_bqdump/")]
    assert len(ties) == (3 if signer else 2)
    vault.export("n2")
    source = vault.world.store
    for name in [name for name in source.names_now() if "/projects/n1/" in name]:
        source._objects.pop(name)
    if signer:
        # A thief's set of that run, with more datasets, which no key has signed.
        found = vault.published()
        assert found
        forged = msgspec.structs.replace(found, tool="bqdump thief")
        lock, vault.target.lock = vault.target.lock, None
        document = vault.there.layout.set_run("n1").manifest("f" * 16).name
        info = vault.target.put_now(document, encode(forged))
        planted = pointer_to(forged, document, info.generation)
        pointer = vault.there.layout.set_pointer("n1", "f" * 16).name
        vault.target.put_now(pointer, encode(msgspec.structs.replace(planted, number=9)))
        vault.target.lock = lock
    done = vault.copy("n1", lock=30, signer=signer)
    assert {(run.dataset, run.state) for run in done.runs} == {("ops", "there"), ("sales", "there")}
    (until,) = {run.locked_until for run in done.runs}
    assert until
    for name in ties:
        peeked = vault.target.peek(name)
        assert peeked
        assert peeked[1].locked_until >= until.timestamp() * 1000, name
