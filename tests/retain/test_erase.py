"""A table is taken out of every kept run, whatever interrupts that, and nothing else is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.adapters.signing_keys import FileKey, new_pair, private_key
from bqdump.core.documents.codec import decode, encode
from bqdump.core.documents.manifest import Carried, Erased, Manifest, TableFiles
from bqdump.core.documents.retention import Erasure
from bqdump.core.documents.target import Erasing, Latest, LogEntry
from bqdump.core.errors import DeniedError, DocumentError, NotFoundError, UnavailableError, UsageError
from bqdump.core.listing import listing_of
from bqdump.core.retention.erased import ErasedFrom, repeats, requested_erasure, without_table
from bqdump.core.times import rfc3339, time_of
from bqdump.core.wording import COMMANDS, fill
from bqdump.ports.store import BucketInfo
from bqdump.repository.manifests import contents_of
from bqdump.repository.signatures import is_signed, sign_manifest
from bqdump.retain import erase as module
from bqdump.retain import rewrite as rewriting
from bqdump.retain.erase import erase
from bqdump.retain.rewrite import Task
from entries import entries, renew
from restore.killed import Counting, Killed, Mortal
from retain.scene import DAY, LAYOUT, SETTINGS, Scene
from retain.test_named_runs import pruned
from tiers import points

REASON = "request 4711"


def task(scene: Scene, table: str = "sales", *, delete: bool = True, before: int = 0, **settings: Any) -> Task:
    erasing = Erasing(table, scene.now + 5000, "dana", REASON, before)
    return Task(scene.store, replace(SETTINGS, **settings), erasing, None, delete)


def erased(scene: Scene, table: str = "sales", **options: Any) -> ErasedFrom:
    return asyncio.run(erase(task(scene, table, **options)))


def document(scene: Scene, name: str, type_: Any) -> Any:
    found = scene.store.peek(name)
    assert found, name
    return decode(found[0], type_, name)


def manifest(scene: Scene, run: str) -> Manifest:
    found: Manifest = document(scene, LAYOUT.run(run).manifest.name, Manifest)
    return found


def files(scene: Scene, table: str) -> list[str]:
    return [name for name in scene.names(f"/{table}_") if "_bqdump" not in name]


def state(scene: Scene) -> dict[str, bytes]:
    return {name: found[0] for name in scene.store.names_now() if (found := scene.store.peek(name))}


def check(scene: Scene, *runs: str, table: str = "sales") -> None:
    """No run has the table, every document agrees with that, and every file of other tables is there."""
    assert files(scene, table) == []
    assert scene.store.peek(LAYOUT.erasing.name) is None
    latest = document(scene, LAYOUT.latest.name, Latest)
    for run in runs:
        names = LAYOUT.run(run)
        found = manifest(scene, run)
        assert [entry.table for entry in found.tables] == [one for one in ("items", "sales") if one != table]
        assert [(note.table, note.by, note.reason) for note in found.erased] == [(table, "dana", REASON)]
        stored = scene.store.peek(names.manifest.name)
        assert stored
        assert document(scene, names.contents.name, names.contents.type) == contents_of(stored[0], "m")
        summary = document(scene, entries(scene.store, LAYOUT)[run], LogEntry)
        assert (summary.totals, found.totals.tables) == (found.totals, 1)
        # They have columns and row access policies.
        assert [name for name in scene.names(f"/runs/{run}/") if "/units-" in name or "/definitions-" in name] == []
        for entry in found.tables:
            for file in entry.files:
                there = scene.store.peek(file.name)
                assert there
                # Later runs may have replaced the files of earlier ones.
                assert there[1].generation == file.generation or (found.replaces and latest.run != run)
        if latest.run == run:
            assert latest.manifest_generation == stored[1].generation


def test_it_is_shown_first_and_nothing_is_changed() -> None:
    scene = Scene()
    scene.run("r1", "r2")
    before = state(scene)
    shown = erased(scene, delete=False)
    assert (shown.runs, shown.files) == (("r1", "r2"), 2)
    assert state(scene) == before


@pytest.mark.parametrize(("unchanged_at", "carried", "reused"), [(0, 1, 0), (-1, 1, 0), (None, 0, 1)],
                         ids=["carried over", "carried over, unchanged before", "unchanged"])  # fmt: skip
def test_a_table_that_is_not_of_this_run_is_taken_out_of_its_totals(
    unchanged_at: int | None, carried: int, reused: int
) -> None:
    scene = Scene()
    scene.run("r1")
    whole = manifest(scene, "r1")
    at = whole.snapshot if unchanged_at is None else unchanged_at and whole.snapshot + unchanged_at
    origin = Carried("r0", 1, "", "", {}, at)
    tables = tuple(replace(entry, carried=origin) if entry.table == "sales" else entry for entry in whole.tables)
    whole = replace(whole, tables=tables, totals=replace(whole.totals, carried=carried, reused=reused))
    left = without_table(whole, Erased("sales", 1, "dana", REASON)).totals
    assert (left.tables, left.carried, left.reused) == (1, 0, 0)


@pytest.mark.parametrize("settings", [{}, {"incremental": True}, {"path": "{table}/{table}_*.{ext}"}],
                         ids=["keep", "incremental", "replace"])  # fmt: skip
def test_a_table_is_taken_out_of_all_runs_with_everything_made_from_their_manifests(settings: dict[str, Any]) -> None:
    scene = Scene()
    scene.run("r1", "r2", "r3", **settings)
    done = erased(scene, **settings)
    assert done.runs == ("r1", "r2", "r3")
    check(scene, "r1", "r2", "r3")
    listing = listing_of(manifest(scene, "r3"))
    (left,) = [left for left in listing.left_out if left.name == "sales"]
    assert left.reason.endswith(f"by dana: {REASON}")
    (again,) = scene.run("r4", **settings)
    assert again.state == "published"
    # It is in the source, so it is exported again, and not carried over from anywhere.
    (entry,) = [entry for entry in manifest(scene, "r4").tables if entry.table == "sales"]
    assert (entry.carried, len(files(scene, "sales"))) == (None, 1)


def test_only_runs_with_older_rows_are_concerned() -> None:
    scene = Scene()
    scene.run("r1", "r2")
    until = manifest(scene, "r2").snapshot
    assert erased(scene, before=until).runs == ("r1",)
    assert len(manifest(scene, "r2").tables) == 2
    assert [name.split("/")[1] for name in files(scene, "sales")] == ["r2"]


def test_files_that_a_later_run_still_names_stay() -> None:
    scene = Scene()
    scene.run("r1", "r2", "r3", incremental=True)
    last = manifest(scene, "r3")
    (entry,) = [entry for entry in last.tables if entry.table == "sales"]
    assert entry.carried
    done = erased(scene, before=last.snapshot)
    assert (done.runs, {file.name for file in entry.files} <= set(files(scene, "sales"))) == (("r1", "r2"), True)


@pytest.mark.parametrize("settings", [{}, {"incremental": True}], ids=["keep", "incremental"])
def test_an_erasure_that_is_killed_at_any_request_is_finished_by_the_same_command(settings: dict[str, Any]) -> None:
    for number in points(range(1_000)):
        scene = Scene()
        scene.run("r1", "r2", **settings)
        counting = Counting(number)
        whole = task(scene, **settings)
        try:
            asyncio.run(erase(whole._replace(store=Mortal(scene.store, counting))))
        except Killed:
            again = whole._replace(erasing=replace(whole.erasing, at=whole.erasing.at + 1, by="other", reason="again"))
            begun = asyncio.run(module.has_begun(again))
            try:
                asyncio.run(erase(again if begun else whole))
            except NotFoundError:
                # Killed after the last write.
                assert not begun
        else:
            break
        check(scene, "r1", "r2")
    assert number > 15


def test_no_run_is_planned_while_an_erasure_is_interrupted() -> None:
    scene = Scene()
    scene.run("r1")
    whole, counting = task(scene), Counting(12)
    with pytest.raises(Killed):
        asyncio.run(erase(whole._replace(store=Mortal(scene.store, counting))))
    assert scene.store.peek(LAYOUT.erasing.name)
    with pytest.raises(UnavailableError, match="table sales is being erased"):
        scene.run("r2")
    with pytest.raises(UsageError, match="the erasure of table sales has begun"):
        erased(scene, "items")
    with pytest.raises(UsageError, match="was interrupted"):
        erased(scene, delete=False)


def test_a_run_that_has_not_ended_refuses_it_and_nothing_is_changed() -> None:
    scene = Scene()
    scene.run("r1")
    scene.abandon("r2")
    before = state(scene)
    with pytest.raises(UsageError, match="run r2 has not ended, and may name files of it") as refused:
        erased(scene)
    assert state(scene) == before
    delete = "bqdump prune r2 --abandoned-after 1h --yes"
    assert fill(refused.value.hint, COMMANDS).endswith(f"or delete it an hour after it was stopped: `{delete}`.")
    scene.now += 3_600_001
    pruned(scene, "r2", abandoned_after=3600)
    assert erased(scene).runs == ("r1",)


@pytest.mark.parametrize("run", ["r1", "r2"])
def test_a_run_whose_manifest_is_lost_refuses_it_and_nothing_is_changed(run: str) -> None:
    scene = Scene()
    scene.run("r1", "r2", "r3")
    scene.delete_now(LAYOUT.run(run).manifest.name)
    before = state(scene)
    for delete in (False, True):
        with pytest.raises(DocumentError, match=rf"runs/{run}/manifest\.json: it does not exist.* Nothing was changed"):
            erased(scene, delete=delete)
    assert state(scene) == before
    # What the error says lets it go on. Files are left to whoever forgets the run.
    for name in (LAYOUT.run(run).root, entries(scene.store, LAYOUT)[run], f"x/{run}/"):
        scene.delete_now(name)
    assert run not in erased(scene).runs
    check(scene, *{"r1", "r2", "r3"} - {run})


def test_a_run_that_is_missing_in_the_log_is_named_with_the_command_that_enters_it() -> None:
    scene = Scene()
    scene.run("r1", "r2")
    scene.delete_now(entries(scene.store, LAYOUT)["r2"])
    before = state(scene)
    with pytest.raises(UsageError, match="run r2 is complete, and not in the log yet") as refused:
        erased(scene)
    assert "bqdump run --run-id r2" in fill(refused.value.hint, COMMANDS)
    assert state(scene) == before
    scene.run("r2")
    assert erased(scene).runs == ("r1", "r2")
    check(scene, "r1", "r2")


def test_a_run_that_is_planned_after_the_look_is_found_under_the_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.run("r1")

    async def late(*arguments: Any) -> None:
        planner = LAYOUT.run("r2").planner.name
        scene.store.put_now(planner, b'{"execution":"r2","task":0}')
        await rewriting.mark(*arguments)

    monkeypatch.setattr(module, "mark", late)
    with pytest.raises(UsageError, match="run r2 has not ended"):
        erased(scene)
    assert scene.store.peek(LAYOUT.erasing.name) is None
    assert len(manifest(scene, "r1").tables) == 2


def test_an_unknown_table_is_named_with_a_guess() -> None:
    scene = Scene()
    scene.run("r1")
    with pytest.raises(NotFoundError, match="no kept run has it; did you mean 'sales'"):
        erased(scene, "sale")


def test_what_the_bucket_holds_is_named_and_deleted_by_the_next_erasure(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.run("r1")
    delete = scene.store.delete

    async def held(objects: Any) -> list[Any]:
        refusal = DeniedError("delete", "object", "it is under a hold")
        return [refusal if "/sales_" in name else (await delete([(name, of)]))[0] for name, of in objects]

    monkeypatch.setattr(scene.store, "delete", held)
    done = erased(scene)
    assert ([one.reason for one in done.held], len(files(scene, "sales"))) == (["it is under a hold"], 1)
    monkeypatch.setattr(scene.store, "delete", delete)
    assert erased(scene).files == 1
    check(scene, "r1")


def test_what_is_locked_is_named_with_its_date() -> None:
    scene = Scene()
    scene.store.clock = lambda: scene.now
    scene.run("r1")
    ((name, info),) = [(name, found[1]) for name in files(scene, "sales") if (found := scene.store.peek(name))]
    until = scene.now + 5 * DAY
    asyncio.run(scene.store.extend([(name, info.generation)], until))
    assert [(one.name, one.until) for one in erased(scene).held] == [(name, time_of(until))]


def test_what_the_bucket_retains_is_named_with_its_date(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.store.clock = lambda: scene.now
    scene.run("r1")
    ((name, info),) = [(name, found[1]) for name in files(scene, "sales") if (found := scene.store.peek(name))]
    bucket = replace(asyncio.run(scene.store.describe()), retention_seconds=5 * DAY // 1000)

    async def describe() -> BucketInfo:
        return bucket

    delete = scene.store.delete

    async def refuse(objects: Any) -> list[Any]:
        refusal = DeniedError("delete", "object", "the bucket retains it")
        return [refusal if one == (name, info.generation) else (await delete([one]))[0] for one in objects]

    monkeypatch.setattr(scene.store, "describe", describe)
    monkeypatch.setattr(scene.store, "delete", refuse)
    assert [(one.name, one.until) for one in erased(scene).held] == [(name, time_of(info.updated + 5 * DAY))]


def test_prune_and_restores_go_on_afterwards() -> None:
    scene = Scene()
    scene.run("r1", "r2")
    erased(scene)
    assert [run.run for run in scene.prune().removed] == ["r1"]
    assert scene.names("runs/r1/") == []


@pytest.mark.parametrize("waits", [True, False])
def test_what_a_pruned_run_had_goes_too_whether_its_day_is_over_or_not(waits: bool) -> None:
    scene = Scene()
    scene.run("r1", "r2", "r3", incremental=True)
    pruned = (scene.prune_once if waits else scene.prune)(incremental=True)
    assert {run.run for run in pruned.removed} == {"r1", "r2"}
    assert set(erased(scene).runs) == ({"r1", "r2", "r3"} if waits else {"r3"})
    check(scene, "r3")
    assert not scene.names("/sales/sales_")
    scene.run("r4")
    scene.prune()
    assert not [name for run in ("r1", "r2") for name in scene.names(f"/{run}/")]


def put(scene: Scene, name: str, value: Any) -> None:
    scene.store.put_now(name, encode(value))


def signed(scene: Scene, *runs: str) -> FileKey:
    """The key that has signed the manifests of these runs."""
    key = FileKey(private_key(new_pair()[0]))
    for run in runs:
        asyncio.run(sign_manifest(scene.store, SETTINGS.target, LAYOUT.run(run), key))
    return key


def forge(scene: Scene, run: str, **changes: Any) -> None:
    """Change the manifest of a run without its key: the files of its other table have another checksum then."""
    found = manifest(scene, run)
    tables = tuple(
        replace(entry, files=tuple(replace(file, crc32c="AAAAAA==") for file in entry.files))
        if entry.table == "items" else entry
        for entry in found.tables
    )  # fmt: skip
    put(scene, LAYOUT.run(run).manifest.name, replace(found, tables=tables, **changes))


def test_a_manifest_that_was_changed_after_it_was_signed_is_not_signed_again() -> None:
    scene = Scene()
    scene.run("r1", "r2")
    key = signed(scene, "r1", "r2")
    forge(scene, "r1")
    before = state(scene)
    with pytest.raises(UsageError, match="the manifest of run r1 is not what its signature of this key is about"):
        asyncio.run(erase(task(scene)._replace(signer=key)))
    assert state(scene) == before


@pytest.mark.parametrize("noted", [False, True], ids=["as_it_was", "as_if_rewritten"])
def test_a_manifest_that_is_changed_while_an_erasure_is_interrupted_is_not_signed(noted: bool) -> None:
    scene = Scene()
    scene.run("r1", "r2")
    key = signed(scene, "r1", "r2")
    whole = task(scene)._replace(signer=key)
    number = 0
    while not scene.names("/erasures/"):
        number += 1
        with pytest.raises(Killed):
            asyncio.run(erase(whole._replace(store=Mortal(scene.store, Counting(number)))))
    found = manifest(scene, "r1")
    note = Erased("sales", whole.erasing.at, "dana", REASON)
    without = tuple(entry for entry in found.tables if entry.table != "sales")
    if noted:
        put(scene, LAYOUT.run("r1").manifest.name, replace(found, tables=without))
    forge(scene, "r1", **({"erased": (note,)} if noted else {}))
    with pytest.raises(UsageError, match="the manifest of run r1 is not what its signature of this key is about"):
        asyncio.run(erase(whole))
    assert not asyncio.run(is_signed(scene.store, SETTINGS.target, LAYOUT.run("r1"), key))


def test_signed_runs_are_signed_whatever_interrupts_their_erasure() -> None:
    for number in points(range(1_000)):
        scene = Scene()
        scene.run("r1")
        key = signed(scene, "r1")
        whole = task(scene)._replace(signer=key)
        try:
            asyncio.run(erase(whole._replace(store=Mortal(scene.store, Counting(number)))))
        except Killed:
            with suppress(NotFoundError):
                asyncio.run(erase(whole))
        else:
            break
        check(scene, "r1")
        assert asyncio.run(is_signed(scene.store, SETTINGS.target, LAYOUT.run("r1"), key))
    assert number > 15


def begun(scene: Scene) -> Task:
    """An erasure that was killed as soon as its mark was there."""
    whole = task(scene)
    for number in range(1_000):
        with suppress(Killed):
            asyncio.run(erase(whole._replace(store=Mortal(scene.store, Counting(number)))))
        if scene.store.peek(LAYOUT.erasing.name):
            return whole
    raise AssertionError


def test_a_repeated_erasure_looks_for_runs_that_have_come_before_the_mark() -> None:
    scene = Scene()
    scene.run("r1")
    whole = begun(scene)
    scene.store.put_now(LAYOUT.run("r2").planner.name, b'{"execution":"r2","task":0}')
    with pytest.raises(UsageError, match="run r2 has not ended"):
        asyncio.run(erase(whole))
    assert scene.store.peek(LAYOUT.erasing.name) is None
    assert len(manifest(scene, "r1").tables) == 2
    scene.delete_now("/r2/planner")
    later = whole._replace(erasing=replace(whole.erasing, at=whole.erasing.at + 1))
    assert asyncio.run(erase(later)).runs == ("r1",)
    check(scene, "r1")


def test_of_two_starts_of_an_erasure_the_first_that_decides_decides_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.run("r1")
    whole = begun(scene)
    look, looks = module._plan, 0

    async def meanwhile(own: Task) -> Any:
        nonlocal looks
        looks += 1
        found = await look(own)
        if looks == 1:
            # The other start finds a run, and takes the mark away.
            scene.store.put_now(LAYOUT.run("r2").planner.name, b'{"execution":"r2","task":0}')
            with pytest.raises(UsageError, match="run r2 has not ended"):
                await erase(own)
        return found

    monkeypatch.setattr(module, "_plan", meanwhile)
    with pytest.raises(UsageError, match="another start of its erasure was refused"):
        asyncio.run(erase(whole))
    assert scene.store.peek(LAYOUT.erasing.name) is None
    assert len(manifest(scene, "r1").tables) == 2


def test_a_damaged_mark_of_an_erasure_that_has_changed_nothing_stands_against_nothing() -> None:
    scene = Scene()
    scene.run("r1")
    begun(scene)
    scene.store.put_now(LAYOUT.erasing.name, b"{}")
    scene.run("r2")
    assert erased(scene, delete=False).runs == ("r1", "r2")
    assert erased(scene).runs == ("r1", "r2")
    check(scene, "r1", "r2")


def test_an_erasure_whose_mark_is_damaged_is_known_by_its_record() -> None:
    scene = Scene()
    scene.run("r1")
    whole, number = task(scene), 0
    while not manifest(scene, "r1").erased:
        number += 1
        with pytest.raises(Killed):
            asyncio.run(erase(whole._replace(store=Mortal(scene.store, Counting(number)))))
    scene.store.put_now(LAYOUT.erasing.name, b"")
    with pytest.raises(UnavailableError, match="table sales is being erased"):
        scene.run("r2")
    with pytest.raises(UsageError, match="the erasure of table sales has begun"):
        erased(scene, "items")
    assert asyncio.run(erase(whole)).runs == ("r1",)
    check(scene, "r1")


def test_an_erasure_whose_mark_is_damaged_while_it_looks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene()
    scene.run("r1")
    look = module._plan

    async def damaged(own: Task) -> Any:
        found = await look(own)
        if scene.store.peek(LAYOUT.erasing.name):
            # A run that is planned now finds neither mark nor record.
            scene.store.put_now(LAYOUT.erasing.name, b"")
        return found

    monkeypatch.setattr(module, "_plan", damaged)
    with pytest.raises(UsageError, match="was changed meanwhile"):
        erased(scene)
    assert len(manifest(scene, "r1").tables) == 2
    monkeypatch.undo()
    scene.run("r2")
    later = task(scene)
    assert asyncio.run(erase(later)).runs == ("r1", "r2")
    check(scene, "r1", "r2")


def test_a_mark_that_a_refusal_could_not_take_away_is_taken_away_by_the_next_start() -> None:
    scene = Scene()
    scene.run("r1")
    whole = begun(scene)
    put(scene, LAYOUT.erasure(whole.erasing).name, Erasure(erasing=whole.erasing, runs=(), files=(), refused=True))
    with pytest.raises(UsageError, match="its erasure was refused"):
        asyncio.run(erase(whole))
    assert scene.store.peek(LAYOUT.erasing.name) is None
    assert len(manifest(scene, "r1").tables) == 2


@pytest.mark.parametrize("setting", ["reason", "by"])
def test_a_reason_and_a_name_have_up_to_500_characters(setting: str) -> None:
    given = {"reason": REASON, "by": "dana"}
    made = requested_erasure("sales", "", **(given | {setting: "x" * 500}), now=10**12)
    assert getattr(made, setting) == "x" * 500
    with pytest.raises(UsageError, match="expected one line of up to 500 characters"):
        requested_erasure("sales", "", **(given | {setting: "x" * 501}), now=10**12)


def test_an_age_is_the_same_request_when_it_is_repeated_later() -> None:
    first, later = (requested_erasure("sales", "30d", REASON, "dana", now) for now in (10**12, 10**12 + 5))
    assert first.before != later.before
    assert repeats(later, first)
    assert not repeats(requested_erasure("sales", "31d", REASON, "dana", 10**12), first)
    assert not repeats(requested_erasure("sales", "", REASON, "dana", 10**12), first)


def test_a_partial_run_refuses_an_erasure_by_age_of_what_an_earlier_one_has_left() -> None:
    scene = Scene()
    scene.run("r1", "r2")
    found = manifest(scene, "r2")
    (entry,) = [entry for entry in found.tables if entry.table == "sales"]
    others = tuple(one for one in found.tables if one.table != "sales")
    # As a run that could not export the table, and leaves what it found of it.
    changed = replace(found, tables=others, left=(TableFiles(entry.table, entry.files),))
    put(scene, LAYOUT.run("r2").manifest.name, changed)
    renew(scene.store, LAYOUT, "r2")
    with pytest.raises(UsageError, match="run r2 is partial, and does not say how old the rows are"):
        erased(scene, before=found.snapshot)
    assert erased(scene).runs == ("r1", "r2")


def test_a_prune_while_an_erasure_is_interrupted_names_the_command_that_finishes_it() -> None:
    scene = Scene()
    scene.run("r1", "r2")
    whole, number = task(scene, before=scene.now + 1000), 0
    while not manifest(scene, "r2").erased:
        number += 1
        with pytest.raises(Killed):
            asyncio.run(erase(whole._replace(store=Mortal(scene.store, Counting(number)))))
    with pytest.raises(UsageError, match="table sales is being erased") as refused:
        scene.prune()
    command = f"bqdump erase sales.sales --before {rfc3339(whole.erasing.before)} --yes"
    assert command in fill(refused.value.hint, COMMANDS)


def test_a_run_that_replaced_files_before_later_ones_kept_theirs_does_not_stand_against_it(scene: Scene) -> None:
    scene.run("r1", path="{table}/{table}_*.{ext}")
    scene.run("r2")
    assert erased(scene).runs == ("r1", "r2")
    check(scene, "r1", "r2")
