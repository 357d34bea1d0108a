"""Documents of restores, executions and drills go with prune once they are old; what is still needed stays."""

from __future__ import annotations

import asyncio

from bqdump.core.documents.target import Drill
from bqdump.core.restore.documents import Restores
from bqdump.core.retention.pruned import Pruned
from bqdump.repository.drills import read_drills
from bqdump.repository.repository import overwrite
from proofs import drilled
from retain.scene import DAY, LAYOUT, Scene

RESTORES = Restores(LAYOUT)
ROOT = RESTORES.restores


def put(scene: Scene, *names: str) -> None:
    """Documents whose content prune does not read."""
    for name in names:
        scene.store.put_now(name, b"{}")


def prune_after(scene: Scene, days: float, *, delete: bool = True) -> Pruned:
    """A prune that keeps all runs, so many days later."""
    scene.now += int(days * DAY)
    return scene.prune(keep_last=9, delete=delete)


def drill(scene: Scene, run: str, *, tables: int = 2, different: int = 0, last: str = "") -> str:
    """The note on a drill of a run; its name."""
    scene.now += 1000
    name = f"{scene.now}-x"
    note = Drill(
        run=run, snapshot=1, dataset="p.x", tool="1", began=scene.now, ended=scene.now,
        tables=tables, of=2, different=different, problems=("items",) * different, last=last,
    )  # fmt: skip
    asyncio.run(overwrite(scene.store, LAYOUT.drill(name), note))
    return LAYOUT.drill(name).name


def test_finished_restores_and_executions_go_after_30_days(scene: Scene) -> None:
    scene.store.clock = lambda: scene.now
    scene.run("a")
    before = scene.names()
    restore = RESTORES.restore("0123456789ab-1")
    put(
        scene, restore.plan.name, restore.receipt(1).name, restore.failure(1, 0, "e").name, restore.finisher.name,
        f"{restore.files}x.csv", restore.result.name, restore.report, restore.failed_report("e"),
        RESTORES.execution("e").name, RESTORES.set_execution("e").name,
    )  # fmt: skip
    all_of_it = scene.names()
    assert prune_after(scene, 28).notes == ()
    assert scene.names() == all_of_it
    shown = prune_after(scene, 2, delete=False)
    assert shown.notes == ("Would remove documents that are older than 30 days: 1 restore, 2 executions.",)
    assert scene.names() == all_of_it
    assert prune_after(scene, 0).notes == ("Removed documents that are older than 30 days: 1 restore, 2 executions.",)
    assert scene.names() == before


def test_a_restore_in_use_stays_and_an_unfinished_one_is_named(scene: Scene) -> None:
    scene.store.clock = lambda: scene.now
    scene.run("a")
    unfinished, used = RESTORES.restore("0123456789ab-1"), RESTORES.restore("0123456789ab-2")
    put(scene, unfinished.plan.name, unfinished.receipt(1).name, used.plan.name, used.result.name)
    assert prune_after(scene, 20).notes == ()
    put(scene, used.report)
    (note,) = prune_after(scene, 15).notes
    assert f"The restore in gs://memory/{unfinished.root} has not finished" in note
    assert scene.names(unfinished.root)
    assert scene.names(used.root)


def test_other_objects_in_the_folder_of_a_restore_stay_and_are_named(scene: Scene) -> None:
    scene.store.clock = lambda: scene.now
    scene.run("a")
    restore = RESTORES.restore("0123456789ab-1")
    put(scene, restore.plan.name, restore.result.name, f"{restore.root}mine.txt")
    assert prune_after(scene, 40).left == (f"{restore.root}mine.txt",)
    assert scene.names(restore.root) == [f"{restore.root}mine.txt"]


def test_documents_of_an_unknown_age_stay(scene: Scene) -> None:
    scene.store.clock = lambda: 0
    scene.run("a")
    restore = RESTORES.restore("0123456789ab-1")
    put(scene, restore.plan.name, restore.result.name, RESTORES.execution("e").name)
    assert prune_after(scene, 400).notes == ()
    assert len(scene.names(ROOT)) == 2


def test_old_drills_go_but_for_the_newest_proofs_of_kept_runs(scene: Scene) -> None:
    scene.run("a", "b")
    gone = [drill(scene, "pruned"), drill(scene, "a"), drill(scene, "a", tables=1, last="items"), drill(scene, "a")]
    stay = [
        drill(scene, "a", tables=1, last="items"),
        drill(scene, "a", different=1),
        drill(scene, "b"),
    ]
    unreadable = f"{LAYOUT.drills}bad.json"
    scene.store.put_now(unreadable, b"garbage")
    assert prune_after(scene, 10).notes == ()
    result = prune_after(scene, 30)
    assert result.notes == ("Removed documents that are older than 30 days: 4 drills.",)
    assert result.left == (unreadable,)
    assert scene.names(LAYOUT.drills) == sorted([*stay, unreadable])
    assert not set(gone) & set(scene.names())


def test_the_last_proof_stays_although_its_run_was_pruned(scene: Scene) -> None:
    scene.run("a", "b")
    older, proof, failed = drill(scene, "pruned"), drill(scene, "pruned", tables=1), drill(scene, "pruned", different=1)
    prune_after(scene, 40)
    assert [one.proven for one in asyncio.run(read_drills(scene.store, LAYOUT))] == [True, False]
    assert (scene.names(older), scene.names(proof), scene.names(failed)) == ([], [proof], [failed])


def test_drills_stay_as_long_as_what_they_have_proven_counts(scene: Scene) -> None:
    scene.run("a")
    orders = (None, ("items",), ("sales",), ("items",))
    drills = [
        drilled(scene.store, LAYOUT, "a", scene.now + number * DAY, tables) for number, tables in enumerate(orders)
    ]
    scene.now += 4 * DAY
    scene.store.clock = lambda: scene.now
    prune_after(scene, 40)
    stored = asyncio.run(read_drills(scene.store, LAYOUT))
    assert [one.began for one in stored] == [one.began for one in drills[2:]]
    assert stored[-1].altogether == 2
