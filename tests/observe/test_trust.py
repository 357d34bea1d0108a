"""Where keys are trusted, lists and progress name each run that none of them has signed, and say the rest as ever."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bqdump.adapters.memory import MemoryStore
from bqdump.adapters.signing_keys import FileKey, FileKeys
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.layout import Layout
from bqdump.core.documents.target import Latest, LogEntry
from bqdump.core.errors import NotFoundError, VerificationError
from bqdump.core.sets.member import one_dataset
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import AsOf, rfc3339
from bqdump.observe.history import RunLine
from bqdump.observe.status import Status
from bqdump.ports.store import ObjectStore
from bqdump.repository.published import read_latest
from bqdump.repository.signatures import Trust, sign_manifest, trusting_store
from bqdump.verbs import inspection
from copying.sets_scene import Sets
from entries import entry
from retain.scene import DAY, LAYOUT, SETTINGS, Scene

KEY, ANOTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()


def public(folder: Path, key: Ed25519PrivateKey = KEY, name: str = "key.pub") -> str:
    """A file with the public key, as `--trust` takes it."""
    path = folder / name
    path.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return str(path)


@pytest.fixture
def trust(tmp_path: Path) -> tuple[str, ...]:
    return (public(tmp_path),)


def sign(store: MemoryStore, target: Target, layout: Layout, run: str, key: Ed25519PrivateKey = KEY) -> None:
    asyncio.run(sign_manifest(store, target, layout.run(run), FileKey(key)))


def sign_part(store: MemoryStore, settings: Settings, dataset: str, run: str) -> None:
    own = one_dataset(settings, dataset)
    sign(store, own.target, own.layout, run)


def at(store: MemoryStore) -> Any:
    return lambda _: cast("ObjectStore", store)


def lines(store: MemoryStore, settings: Settings, **options: Any) -> dict[tuple[str, str], RunLine]:
    found = asyncio.run(inspection.runs(at(store), settings, **options))
    return {(line.run, line.dataset): line for line in found}


def status(store: MemoryStore, settings: Settings, run: str = "") -> Status:
    return asyncio.run(inspection.status(at(store), settings, run))


def scene() -> Scene:
    """Run one is signed, run two by another key, run three is not."""
    made = Scene()
    made.run("one", "two", "three")
    sign(made.store, SETTINGS.target, LAYOUT, "one")
    sign(made.store, SETTINGS.target, LAYOUT, "two", ANOTHER)
    return made


@pytest.mark.parametrize("entered", [True, False])
@pytest.mark.parametrize("storage", [True, False])
def test_runs_names_what_no_trusted_key_has_signed(trust: tuple[str, ...], *, entered: bool, storage: bool) -> None:
    made = scene()
    if not entered:
        made.delete_now("/log/")
    plain = lines(made.store, SETTINGS, storage=storage)
    assert {line.state for line in plain.values()} == {"complete"}
    shown = lines(made.store, msgspec.structs.replace(SETTINGS, trust=trust), storage=storage)
    assert {run: line.state for (run, _), line in shown.items()} == {
        "one": "complete", "two": "not trusted", "three": "not trusted"
    }  # fmt: skip
    assert "signed by another key" in shown["two", ""].problem
    assert shown["three", ""].problem == "it is not signed"
    assert [run for (run, _), line in plain.items() if line.published] == (["three"] if entered else [])
    # Only what a trusted key has signed counts.
    assert [run for (run, _), line in shown.items() if line.published] == (["one"] if entered else [])
    if entered:
        # All else is said as it is without a key.
        same = msgspec.structs.replace(shown["three", ""], state="complete", problem="", published=True)
        assert same == plain["three", ""]


def test_what_a_run_shares_with_one_that_is_not_trusted_is_shown_as_shared(trust: tuple[str, ...]) -> None:
    sets = Sets()
    for run in ("n1", "n2", "n3"):
        sets.export(run, incremental=True)
        sign_part(sets.world.store, sets.here, "ops", run)
    for run in ("n1", "n2"):
        sign_part(sets.world.store, sets.here, "sales", run)
    plain = lines(sets.world.store, sets.here, storage=True)
    shown = lines(sets.world.store, msgspec.structs.replace(sets.here, trust=trust), storage=True)
    assert shown["n3", "sales"].state == "not trusted"
    assert plain["n2", "sales"].shared
    assert {run: (line.alone, line.shared) for run, line in shown.items()} == {
        run: (line.alone, line.shared) for run, line in plain.items()
    }


def test_an_entry_that_gives_an_older_signed_run_a_later_time_does_not_count(
    trust: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    made = scene()
    for run in ("two", "three"):
        sign(made.store, SETTINGS.target, LAYOUT, run)
    name, newest = entry(made.store, LAYOUT, "one"), entry(made.store, LAYOUT, "three")
    older, newer = (decode(asyncio.run(made.store.read(one)).data, LogEntry, one) for one in (name, newest))
    later = newer.snapshot + 1
    # With the generation and the digest of the manifest, which is signed.
    planted = msgspec.structs.replace(older, snapshot=later, snapshot_time=rfc3339(later))
    there = LAYOUT.entry("one", later).name
    made.store.put_now(there, encode(planted))
    shown = lines(made.store, msgspec.structs.replace(SETTINGS, trust=trust))
    assert [run for (run, _), line in shown.items() if line.published] == ["three"]
    assert f"manifest.json: it is of run one, {older.snapshot_time}, and not of one" in caplog.text
    assert f"{there} is not used" in caplog.text
    caplog.clear()
    # Nor is it named as a run that is too old.
    recent = Trust(FileKeys([KEY.public_key()]), oldest=older.snapshot + 1, within="1h")
    latest = asyncio.run(
        read_latest(trusting_store(cast("ObjectStore", made.store), SETTINGS.target, recent), SETTINGS)
    )
    assert latest
    assert latest.run == "three"
    assert f"manifest.json: it is of another time than {planted.snapshot_time}" in caplog.text


def test_status_names_a_run_that_no_trusted_key_has_signed_and_says_the_rest(trust: tuple[str, ...]) -> None:
    made = scene()
    trusting = msgspec.structs.replace(SETTINGS, trust=trust)
    plain, shown = status(made.store, SETTINGS), status(made.store, trusting)
    assert (plain.state, shown.state, shown.problem) == ("published", "not trusted", "it is not signed")
    # Only what a trusted key has signed counts.
    assert msgspec.structs.replace(shown, state="published", problem="") == plain
    assert status(made.store, trusting, "one").state == "published"
    made.abandon("four")
    assert status(made.store, trusting, "four").state == "running"


def test_lists_and_progress_trust_a_signed_run_however_old_it_is(trust: tuple[str, ...]) -> None:
    made = Scene()
    made.run("one")
    sign(made.store, SETTINGS.target, LAYOUT, "one")
    recent = msgspec.structs.replace(SETTINGS, trust=trust, newest_within=1)
    assert lines(made.store, recent)["one", ""].state == "complete"
    assert (status(made.store, recent).state, status(made.store, recent).latest_problem) == ("published", "")


def test_growth_is_that_of_trusted_runs(trust: tuple[str, ...]) -> None:
    made = scene()
    made.run("four")
    sign(made.store, SETTINGS.target, LAYOUT, "four")
    trusting = msgspec.structs.replace(SETTINGS, trust=trust)
    grown = asyncio.run(inspection.growth(at(made.store), trusting))
    assert (grown.run, grown.since) == ("four", "one")
    for run, since in (("three", ""), ("four", "three")):
        assert asyncio.run(inspection.growth(at(made.store), SETTINGS, run, since)).run == run
        with pytest.raises(NotFoundError, match="cannot show what grew: run three is not trusted: it is not signed"):
            asyncio.run(inspection.growth(at(made.store), trusting, run, since))


def test_a_time_does_not_choose_an_older_run_where_the_newest_has_lost_its_signature(trust: tuple[str, ...]) -> None:
    made = scene()
    trusting = msgspec.structs.replace(SETTINGS, trust=trust)
    wanted = AsOf(made.now * 2, "some time")
    assert asyncio.run(inspection.run_as_of(at(made.store), trusting, wanted)).run == "three"


def test_diff_reads_only_runs_that_a_trusted_key_has_signed(trust: tuple[str, ...]) -> None:
    made = scene()
    trusting = msgspec.structs.replace(SETTINGS, trust=trust)
    for pair in (("one", "two"), ("three", "one"), ("", "")):
        assert isinstance(asyncio.run(inspection.diff(at(made.store), SETTINGS, *pair)), list)
        with pytest.raises(VerificationError, match="trust run"):
            asyncio.run(inspection.diff(at(made.store), trusting, *pair))
    for run in ("two", "three"):
        sign(made.store, SETTINGS.target, LAYOUT, run)
    # The age of a published run is not a matter of comparing.
    old = msgspec.structs.replace(trusting, newest_within=1)
    assert isinstance(asyncio.run(inspection.diff(at(made.store), old, "one", "three")), list)


def test_a_member_of_a_set_that_is_not_signed_is_named_in_lists_and_progress(trust: tuple[str, ...]) -> None:
    sets = Sets()
    store = sets.world.store
    for run in ("n1", "n2"):
        sets.export(run)
        sign_part(store, sets.here, "sales", run)
    sign_part(store, sets.here, "ops", "n1")
    trusting = msgspec.structs.replace(sets.here, trust=trust)
    shown = lines(store, trusting)
    assert {key: line.state for key, line in shown.items() if line.state != "complete"} == {
        ("n2", "*"): "not trusted", ("n2", "ops"): "not trusted"
    }  # fmt: skip
    plain, now = status(store, sets.here), status(store, trusting)
    assert (plain.state, now.state) == ("published", "not trusted")
    assert {part.dataset: (part.state, part.problem) for part in now.datasets} == {
        "ops": ("not trusted", "it is not signed"), "sales": ("published", "")
    }  # fmt: skip
    assert (now.resume, now.left) == (plain.resume, plain.left) == ("", ())
    assert (now.tables, now.done, now.snapshot_time) == (plain.tables, plain.done, plain.snapshot_time)
    with pytest.raises(VerificationError, match="not signed"):
        asyncio.run(inspection.diff(at(store), trusting, "n1", "n2"))


def vault_of_sets(*signed: str) -> Sets:
    sets = Sets()
    for run in ("n1", "n2"):
        sets.export(run)
        sets.copy(signer=FileKey(KEY) if run in signed else None)
    sets.target.lock = None
    return sets


def plant_run(sets: Sets, pointer: str) -> None:
    """Store run n9 in the vault, a later copy of run n2 that no key has signed. pointer: the name of that of run n2."""
    found = decode(asyncio.run(sets.target.read(pointer)).data, Latest, pointer)
    manifest = asyncio.run(sets.target.read(found.manifest)).data.replace(b'"n2"', b'"n9"')
    planted = sets.target.put_now(found.manifest.replace("n2", "n9"), manifest)
    moved = msgspec.structs.replace(found, run="n9", manifest=planted.name, manifest_generation=planted.generation)
    sets.target.put_now(pointer.replace("n2", "n9"), encode(moved))


def plant_entry(sets: Sets, dataset: str) -> None:
    """The same of one dataset, with an entry in its log."""
    layout = one_dataset(sets.there, dataset).layout
    name = entry(sets.target, layout, "n2")
    found = decode(asyncio.run(sets.target.read(name)).data, LogEntry, name)
    manifest = asyncio.run(sets.target.read(layout.run("n2").manifest.name)).data.replace(b'"n2"', b'"n9"')
    planted = sets.target.put_now(layout.run("n9").manifest.name, manifest)
    moved = msgspec.structs.replace(found, run="n9", generation=planted.generation)
    sets.target.put_now(layout.entry("n9", found.snapshot).name, encode(moved))


def test_a_locked_set_whose_own_manifest_is_not_signed_is_named(trust: tuple[str, ...]) -> None:
    sets = vault_of_sets("n1")
    for name in ("ops", "sales"):
        sign_part(sets.target, sets.there, name, "n2")
    trusting = msgspec.structs.replace(sets.there, trust=trust)
    shown = lines(sets.target, trusting)
    assert {key: line.state for key, line in shown.items() if line.state != "complete"} == {
        ("n2", "*"): "not trusted"
    }  # fmt: skip
    assert "not signed" in shown["n2", "*"].problem
    # Readers who trust the key find the earlier set.
    assert [key for key, line in shown.items() if line.published and key[1] == "*"] == [("n1", "*")]
    assert (status(sets.target, trusting).run, status(sets.target, trusting).state) == ("n1", "published")
    named = status(sets.target, trusting, "n2")
    assert (named.state, named.tables) == ("not trusted", status(sets.target, sets.there, "n2").tables)
    assert "not signed" in named.problem
    assert status(sets.target, sets.there).run == "n2"


def test_a_vault_without_any_signature_says_so_and_all_else(trust: tuple[str, ...]) -> None:
    sets = vault_of_sets()
    trusting = msgspec.structs.replace(sets.there, trust=trust)
    assert {line.state for line in lines(sets.target, trusting).values()} == {"not trusted"}
    plain, shown = status(sets.target, sets.there), status(sets.target, trusting)
    assert (shown.run, shown.state, shown.tables) == (plain.run, "not trusted", plain.tables)
    assert {part.state for part in shown.datasets} == {"not trusted"}


def test_a_dataset_that_has_left_a_locked_set_and_is_not_signed_is_named(trust: tuple[str, ...]) -> None:
    sets = Sets()
    sets.export("n1")
    sets.copy()
    del sets.world.warehouse.datasets["p", "ops"]
    sets.export("n2")
    sets.copy(signer=FileKey(KEY))
    shown = status(sets.target, msgspec.structs.replace(sets.there, trust=trust))
    assert (shown.run, shown.state, shown.left) == ("n2", "published", ())
    assert {part.dataset: part.state for part in shown.datasets} == {"sales": "published", "ops": "not trusted"}
    assert "cannot trust run n1: it is not signed" in shown.datasets[1].problem
    assert [left.dataset for left in status(sets.target, sets.there).left] == ["ops"]


def test_a_copy_that_has_begun_is_not_blamed_for_others_that_are_not_signed(trust: tuple[str, ...]) -> None:
    sets = vault_of_sets("n1")
    own = one_dataset(sets.there, "sales")
    sets.target.put_now(own.layout.run("n9").copying.name, b"{}")
    stranger = (public(Path(trust[0]).parent, ANOTHER, "stranger.pub"),)
    for keys in ((), trust, stranger):
        trusting = msgspec.structs.replace(own, trust=keys)
        shown = status(sets.target, trusting, "n9")
        assert (shown.state, shown.problem) == ("copying", "")
        assert bool(shown.latest_problem) == (keys == stranger)
        assert lines(sets.target, trusting)["n9", ""].state == "copying"


def test_without_a_key_no_run_is_not_trusted(trust: tuple[str, ...]) -> None:
    sets = vault_of_sets("n1")
    own = one_dataset(sets.there, "sales")
    sets.world.time += 100 * DAY
    for run in ("n1", "n2"):
        name = own.layout.run(run).manifest.name
        sets.target.put_now(name, asyncio.run(sets.target.read(name)).data)
    sets.target.put_now(own.layout.run("n9").copying.name, b"{}")
    for keys in ((), trust):
        trusting = msgspec.structs.replace(own, trust=keys)
        shown = lines(sets.target, trusting)
        assert {run: line.state for (run, _), line in shown.items()} == {
            "n9": "copying", "n2": "not trusted" if keys else "complete", "n1": "complete"
        }  # fmt: skip
        assert [run for (run, _), line in shown.items() if line.published] == ["n1" if keys else "n2"]


def test_a_planted_entry_takes_the_place_of_no_signed_copy(trust: tuple[str, ...]) -> None:
    sets = vault_of_sets("n1", "n2")
    own = one_dataset(sets.there, "sales")
    plant_entry(sets, "sales")
    trusting = msgspec.structs.replace(own, trust=trust)
    assert [run for (run, _), line in lines(sets.target, own).items() if line.published] == ["n9"]
    shown = lines(sets.target, trusting)
    assert [run for (run, _), line in shown.items() if line.published] == ["n2"]
    assert shown["n9", ""].state == "not trusted"
    assert (status(sets.target, trusting).run, status(sets.target, trusting).state) == ("n2", "published")
