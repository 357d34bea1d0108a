"""Access entries are granted last, in addition to those of the target, and those that are refused are named."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from bqdump.core.documents.definitions import Definitions, RowPolicy
from bqdump.core.errors import ConflictError, DeniedError
from bqdump.core.tables.catalog import Dataset
from bqdump.restoration.restore import restore_one as restore
from restore.killed import Killed, killed_at
from restore.test_objects import OBJECTS, raw
from restore.world import INTO, ExportedWorld

ACCESS = msgspec.structs.replace(INTO, with_access=True)
READER = {"role": "READER", "userByEmail": "reader@example.com"}
GROUP = {"role": "WRITER", "groupByEmail": "team@example.com"}
VIEW = {"view": {"projectId": "project", "datasetId": "data", "tableId": "a_last"}}
MAPPED = {"view": {"projectId": "project", "datasetId": "copy", "tableId": "a_last"}}
OWNERS = [{"role": "OWNER", "specialGroup": "projectOwners"}, {"role": "OWNER", "userByEmail": "restorer@example.com"}]


def exported_world(*access: dict[str, Any], **more: Any) -> ExportedWorld:
    world = ExportedWorld()
    world.change_manifest(definitions=Definitions(dataset=raw({"access": access}), objects=OBJECTS, **more))
    return world


def granted(world: ExportedWorld) -> Any:
    return world.big.resources["project", "copy"]["access"]


def test_entries_are_added_to_those_of_the_new_dataset() -> None:
    world = exported_world(OWNERS[0], READER, GROUP, VIEW)
    result = world.restore(ACCESS, run="r1")
    assert (result.state, result.failed) == ("restored", ())
    assert granted(world) == [*OWNERS, READER, GROUP, MAPPED]
    named = [(one.name, one.action) for one in result.objects if one.kind == "ACCESS"]
    assert ("authorized view project.copy.a_last", "grant") in named
    assert len(named) == 4


def test_without_the_option_nothing_is_granted() -> None:
    world = exported_world(READER)
    assert [one.kind for one in world.restore(run="r1").not_restored] == ["ACCESS"]
    assert granted(world) == OWNERS


def test_a_dataset_that_exists_keeps_its_entries() -> None:
    world = exported_world(READER)
    mine = [{"role": "OWNER", "groupByEmail": "mine@example.com"}]
    world.big.datasets["project", "copy"] = {}
    world.big.resources["project", "copy"] = {"location": "EU", "access": mine,
                                              "datasetReference": {"datasetId": "copy"}}  # fmt: skip
    assert world.restore(ACCESS, run="r1").state == "restored"
    assert granted(world) == [*mine, READER]


def test_an_entry_that_is_refused_is_named_and_the_others_are_granted() -> None:
    gone = {"role": "READER", "userByEmail": "gone@example.com"}
    world = exported_world(READER, gone, GROUP)
    world.big.unknown_users.add("gone@example.com")
    result = world.restore(ACCESS, run="r1")
    assert granted(world) == [*OWNERS, READER, GROUP]
    assert [(one.name, one.kind) for one in result.failed] == [("READER for user gone@example.com", "ACCESS")]
    assert "User gone@example.com does not exist" in result.failed[0].message
    assert (result.state, world.rows("one")) == ("incomplete", ["a", "b"])
    world.big.unknown_users.clear()
    again = world.restore(ACCESS, execution="second", run="r1")
    assert (again.state, again.restore) == ("restored", result.restore)
    assert granted(world) == [*OWNERS, READER, GROUP, gone]


def test_entries_that_are_granted_meanwhile_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    world, other = exported_world(READER), {"role": "READER", "domain": "example.com"}
    change_access, calls = world.big.change_access, list[str]()

    async def change(dataset: Dataset, access: msgspec.Raw, etag: str) -> None:
        if not calls:
            granted(world).append(other)
        calls.append(etag)
        await change_access(dataset, access, etag)

    monkeypatch.setattr(world.big, "change_access", change)
    assert world.restore(ACCESS, run="r1").state == "restored"
    assert granted(world) == [*OWNERS, other, READER]
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (DeniedError("change", "access", "missing permission"), 1),
        (ConflictError("change", "access", "not customers"), 6),
    ],
    ids=["denied", "refused by a precondition"],
)
def test_what_the_account_may_not_grant_is_named(error: Exception, tries: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, calls = exported_world(READER, GROUP), list[str]()

    async def refuse(dataset: Dataset, access: msgspec.Raw, etag: str) -> None:
        calls.append(etag)
        raise error

    monkeypatch.setattr(world.big, "change_access", refuse)
    result = world.restore(ACCESS, run="r1")
    assert {one.name for one in result.failed} == {
        "READER for user reader@example.com",
        "WRITER for group team@example.com",
    }
    assert (granted(world), len(calls)) == (OWNERS, tries)


def test_entries_that_cannot_be_read_are_not_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    world = exported_world(READER)
    find_dataset = world.big.find_dataset

    async def find(project: str, name: str) -> msgspec.Raw | None:
        resource = await find_dataset(project, name)
        return raw({k: v for k, v in msgspec.json.decode(resource).items() if k != "access"}) if resource else None

    monkeypatch.setattr(world.big, "find_dataset", find)
    (failure,) = world.restore(ACCESS, run="r1").failed
    assert "bigquery.datasets.getIamPolicy" in failure.message
    assert granted(world) == OWNERS


def test_nothing_is_granted_before_every_row_policy_is_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = RowPolicy("one", "few", "line = 'a'", ("user:a@example.com",))
    world = exported_world(READER, policies=(policy,))
    create = world.big.create_row_policy

    async def refuse(dataset: Dataset, table: str, name: str, definition: msgspec.Raw) -> bool:
        raise DeniedError("create", "row access policy few", "missing permission")

    monkeypatch.setattr(world.big, "create_row_policy", refuse)
    options = msgspec.structs.replace(ACCESS, with_policies=True)
    result = world.restore(options, run="r1")
    assert granted(world) == OWNERS
    assert [one.reason for one in result.not_restored if one.kind == "ACCESS"] == [
        "not granted before every table and row access policy is restored"
    ]
    monkeypatch.setattr(world.big, "create_row_policy", create)
    assert world.restore(options, execution="second", run="r1").state == "restored"
    assert granted(world) == [*OWNERS, READER]


def test_a_restore_that_is_killed_at_any_request_grants_the_same() -> None:
    number = 0
    while True:
        world = exported_world(READER, GROUP, VIEW)
        try:
            asyncio.run(restore(killed_at(world.task(ACCESS, "killed", run="r1"), number)))
        except Killed:
            assert world.restore(ACCESS, "again", run="r1").state == "restored", number
        else:
            break
        assert granted(world) == [*OWNERS, READER, GROUP, MAPPED], number
        number += 5
    assert number > 40
