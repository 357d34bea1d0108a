"""What replaces a table is compared before it does, and removes no row access policy that no export has."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from bqdump.core.documents.definitions import Definitions, RowPolicy
from bqdump.core.errors import UsageError
from bqdump.core.restore.actions import FORGOTTEN, UNLISTED
from bqdump.core.restore.documents import Restores
from bqdump.core.restore.names import is_scratch
from bqdump.core.restore.plan import NotRestored, Options, TableStep
from bqdump.core.tables.catalog import Dataset
from bqdump.ports.warehouse import JobError
from bqdump.restoration import tables
from bqdump.restoration.listing import Place, abort, find_restores
from bqdump.restoration.restore import restore_one
from restore.killed import Killed, killed_at
from restore.test_objects import raw
from restore.test_partitions import CHOSEN, by_partition
from restore.world import INTO, ROWS, SETTINGS, ExportedWorld
from tiers import points

FEW = RowPolicy("one", "few", "line = 'a'", ("user:a@example.com",))
COPY = Dataset("project", "copy", "US")
REPLACE = replace(INTO, replace=True)


def policies(world: ExportedWorld) -> list[str]:
    return [*world.big.policy_definitions["project", "copy", "one"]]


def test_a_table_is_only_replaced_by_rows_with_the_values_of_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    world = ExportedWorld()
    for name in ("one", "two"):
        world.big.put("project", "copy", name, ["x"])
    seen: list[list[str] | None] = []

    async def difference(_restore: object, step: TableStep, scratch: str) -> str:
        seen.append(world.rows(scratch))
        return "values: expected 1, found 2" if step.name == "one" else ""

    monkeypatch.setattr(tables, "scratch_difference", difference)
    result = world.restore(Options(project="project", dataset="copy", replace=True))
    assert sorted(map(str, seen)) == ["['a', 'b']", "['c']"]
    assert [(one.name, one.reason, one.message) for one in result.failed] == [
        ("one", "values", "not replaced: values: expected 1, found 2")
    ]
    assert {name: world.rows(name) for name in ROWS} == {**ROWS, "one": ["x"]}


@pytest.mark.parametrize("exported", [(), (replace(FEW, grantees=None),), (replace(FEW, name="other"),)])
def test_a_policy_that_the_export_cannot_restore_is_named_and_its_table_is_not_replaced(
    exported: tuple[RowPolicy, ...],
) -> None:
    world = ExportedWorld()
    world.change_manifest(definitions=Definitions(policies=exported))
    world.big.put("project", "copy", "one", ["x"])
    world.big.policies["one"] = ["few"]
    for options in (REPLACE, replace(REPLACE, with_policies=True)):
        with pytest.raises(UsageError, match="cannot restore would be removed: few of one"):
            world.restore(options, run="r1")
    assert (world.rows("one"), world.big.policies["one"]) == (["x"], ["few"])
    assert world.restore(replace(REPLACE, exclude=("one",)), "second", run="r1").state == "restored"


def test_a_policy_that_the_export_could_restore_is_not_removed_where_no_one_asks_for_it() -> None:
    world = ExportedWorld()
    world.change_manifest(definitions=Definitions(policies=(FEW,)))
    world.big.put("project", "copy", "one", ["x"])
    world.big.policies["one"] = ["few"]
    with pytest.raises(UsageError, match=r"would be removed: few of one.*with_policies"):
        world.restore(REPLACE, run="r1")
    assert (world.rows("one"), world.big.policies["one"]) == (["x"], ["few"])
    both = replace(REPLACE, with_policies=True)
    assert (world.restore(both, run="r1").state, policies(world)) == ("restored", ["few"])
    with pytest.raises(UsageError, match="would be removed: few of one"):
        world.restore(REPLACE, "second", run="r1")


@pytest.mark.parametrize("with_policies", [False, True])
def test_rows_alone_never_remove_a_policy_as_they_bring_none_back(with_policies: bool) -> None:
    world = ExportedWorld()
    world.change_manifest(definitions=Definitions(policies=(FEW,)))
    world.big.put("project", "copy", "one", ["x"])
    world.big.policies["one"] = ["few"]
    options = replace(REPLACE, data_only=True, include=("one",), with_policies=with_policies)
    with pytest.raises(UsageError, match=r"would be removed: few of one\. Restore next to the table"):
        world.restore(options, run="r1")
    assert (world.rows("one"), world.big.policies["one"]) == (["x"], ["few"])


def test_a_policy_that_a_restore_has_created_is_replaced_and_named_once_no_export_has_it() -> None:
    world = ExportedWorld()
    world.change_manifest(definitions=Definitions(policies=(FEW,)))
    both = replace(REPLACE, with_policies=True)
    for execution in ("first", "second"):
        result = world.restore(both, execution, run="r1")
        assert (result.state, policies(world)) == ("restored", ["few"])
    world.change_manifest(definitions=Definitions())
    third = world.restore(both, "third", run="r1")
    assert NotRestored("one.few", "POLICY", FORGOTTEN) in third.not_restored
    assert policies(world) == []


def test_policies_that_may_not_be_listed_are_named() -> None:
    world = ExportedWorld()
    world.big.put("project", "copy", "one", ["x"])
    world.big.sees_policies = False
    result = world.restore(REPLACE, run="r1")
    assert NotRestored("one", "POLICY", UNLISTED) in result.not_restored


def test_a_damaged_document_of_another_restore_hinders_no_restore() -> None:
    world = ExportedWorld()
    world.store.put_now(Restores(SETTINGS.layout).restore("0123456789ab-1").plan.name, b"{")
    world.big.put("project", "copy", "one", ["x"])
    world.big.policies["one"] = ["few"]
    world.change_manifest(definitions=Definitions(policies=(FEW,)))
    assert world.restore(replace(REPLACE, with_policies=True), run="r1").state == "restored"


LATER = str(1_900_000_000_000)
REFUSED = JobError("invalid", "not now")


def expiring(options: Options) -> ExportedWorld:
    """A table to be replaced that expires, as do its partitions, while the copy job of it fails."""
    world = ExportedWorld()
    world.big.put("project", "copy", "one", ["x"])
    asyncio.run(world.big.change_table(COPY, "one", raw({"expirationTime": LATER})))
    world.big.failing = lambda table, job: REFUSED if table == "one" else None
    assert [one.name for one in world.restore(options).failed] == ["one"]
    return world


@pytest.mark.parametrize(
    "options", [REPLACE, replace(REPLACE, data_only=True, include=("one",))], ids=["replace", "rows"]
)
def test_a_table_that_is_not_replaced_after_all_keeps_its_expiration(options: Options) -> None:
    world = expiring(options)
    assert (world.rows("one"), world.definition("one").get("expirationTime")) == (["x"], LATER)
    world.big.failing = lambda table, job: None
    changes = world.changes()
    assert world.restore(options, "second").state == "restored"
    # Without an expiration first, old partitions would be deleted as they arrive.
    assert next(change for name, change in changes if name == "one") == {"expirationTime": None}
    assert world.definition("one").get("expirationTime") == (LATER if options.data_only else None)


def test_an_expiration_that_a_killed_restore_has_removed_is_set_again_by_ending_it() -> None:
    seen = set[object]()
    for number in points(range(10_000)):
        world = ExportedWorld()
        world.big.put("project", "copy", "one", ["x"])
        asyncio.run(world.big.change_table(COPY, "one", raw({"expirationTime": LATER})))
        try:
            asyncio.run(restore_one(killed_at(world.task(REPLACE, "killed"), number)))
        except Killed:
            for found in asyncio.run(find_restores([Place(world.store, SETTINGS.layout)])).restores:
                seen.add(world.definition("one").get("expirationTime"))
                asyncio.run(abort(found, world.big))
        else:
            break
        if world.rows("one") == ["x"]:
            assert world.definition("one").get("expirationTime") == LATER, number
    assert seen == {None, LATER}


def test_the_command_of_a_killed_restore_that_is_ended_completes() -> None:
    """Tables that it had begun have its label until then."""
    for number in points(range(10_000)):
        world = ExportedWorld()
        world.big.put("project", "copy", "one", ["x"])
        try:
            asyncio.run(restore_one(killed_at(world.task(REPLACE, "killed"), number)))
        except Killed:
            for found in asyncio.run(find_restores([Place(world.store, SETTINGS.layout)])).restores:
                asyncio.run(abort(found, world.big))
        else:
            break
        result = world.restore(REPLACE, "again")
        assert (result.state, result.failed, {name: world.rows(name) for name in ROWS}) == ("restored", (), ROWS), (
            number
        )
    assert number > 20


def end(world: ExportedWorld) -> None:
    (found,) = asyncio.run(find_restores([Place(world.store, SETTINGS.layout)])).restores
    asyncio.run(abort(found, world.big))


def expire(world: ExportedWorld, table: str, expiration: str | None) -> None:
    asyncio.run(world.big.change_table(COPY, table, raw({"expirationTime": expiration})))


def test_ending_a_restore_sets_no_expiration_of_a_table_that_it_does_not_restore() -> None:
    world = ExportedWorld()
    for name in ("one", "two"):
        world.big.put("project", "copy", name, ["x"])
        expire(world, name, LATER)
    world.big.failing = lambda table, job: REFUSED if table == "one" else None
    world.restore(replace(REPLACE, include=("one",)))
    expire(world, "two", None)
    end(world)
    assert [world.definition(name).get("expirationTime") for name in ("one", "two")] == [LATER, None]


def test_ending_a_restore_of_some_partitions_sets_no_expiration() -> None:
    world = by_partition()
    expire(world, "days", LATER)
    world.big.failing = lambda table, job: REFUSED if table == "days" else None
    assert world.restore(replace(CHOSEN, replace=True), run="r2").state == "incomplete"
    expire(world, "days", None)
    end(world)
    assert world.definition("days").get("expirationTime") is None


@pytest.mark.parametrize("wanted", [None, str(int(LATER) + 1)])
def test_ending_a_restore_keeps_the_expiration_that_the_owner_has_set_meanwhile(wanted: str | None) -> None:
    for number in points(range(10_000)):
        world = ExportedWorld()
        world.big.put("project", "copy", "one", ["x"])
        expire(world, "one", LATER)
        try:
            asyncio.run(restore_one(killed_at(world.task(REPLACE, "killed"), number)))
        except Killed:
            begun = [one.name for one in asyncio.run(world.big.present(COPY)) if is_scratch(one.name)]
            if not asyncio.run(find_restores([Place(world.store, SETTINGS.layout)])).restores or (begun and not wanted):
                # One that it has begun, and that has none, may have lost it to the restore.
                continue
            expire(world, "one", wanted)
            end(world)
            assert world.definition("one").get("expirationTime") == wanted, number
        if world.rows("one") != ["x"]:
            break
    assert number > 5


def test_ending_a_restore_finds_by_its_jobs_what_it_began_once_scratch_tables_have_expired() -> None:
    world = ExportedWorld()
    world.big.put("project", "copy", "one", ["x"])
    expire(world, "one", LATER)
    number = 0
    while world.definition("one").get("expirationTime"):
        number += 1
        world = ExportedWorld()
        world.big.put("project", "copy", "one", ["x"])
        expire(world, "one", LATER)
        with pytest.raises(Killed):
            asyncio.run(restore_one(killed_at(world.task(replace(REPLACE, include=("one",)), "killed"), number)))
    for one in asyncio.run(world.big.present(COPY)):
        if is_scratch(one.name):
            asyncio.run(world.big.drop_table(COPY, one.name))
    end(world)
    assert world.definition("one").get("expirationTime") == LATER
