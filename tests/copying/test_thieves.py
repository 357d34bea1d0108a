"""Thieves, and rules that delete, at locked copies in S3: what a run names stays, and nothing else is believed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bqdump.observe.history import list_runs
from bqdump.ports.store import Hidden
from bqdump.repository.objects import uncover_generations
from bqdump.repository.published import read_manifest
from copying.s3_scene import STATE, Vault, kinds
from s3_server import S3Server, s3_server

# What a verification may find where all that is named is there: somebody was, and the locks have ended.
SOUND = {"hidden", "lock"}


@pytest.fixture(scope="module")
def served() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def vault(served: S3Server, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Vault:
    """Of four nights, of which only one table changed."""
    vault = Vault(served, f"vault-{abs(hash(request.node.name))}", monkeypatch)
    vault.copies.export("r1", "r2", "r3", "r4", incremental=True)
    return vault


def test_prune_keeps_a_file_that_a_kept_run_names_where_an_older_version_of_it_is_hidden(vault: Vault) -> None:
    vault.copy("r3")
    vault.hide(vault.shared())
    # Stores the file again, and names that version.
    vault.copy("r4", blind=True)
    assert len(vault.versions(vault.shared())) == 2
    assert [run.run for run in vault.prune(keep_last=1).removed] == ["r3"]
    assert kinds(vault.verify("r4")) <= SOUND


def test_prune_deletes_all_versions_of_a_file_once_no_run_names_one(vault: Vault) -> None:
    for run in ("r1", "r2"):
        vault.copy(run, blind=True)
        shared = vault.shared()
        vault.hide(shared)
    vault.copies.source.warehouse.put("p", "sales", "sales", ["another row"])
    vault.copies.export("r5", incremental=True)
    vault.copy("r5")
    assert vault.versions(shared)
    assert {run.run for run in vault.prune(keep_last=1).removed} == {"r1", "r2"}
    assert not vault.versions(shared)
    assert kinds(vault.verify("r5")) <= SOUND


def test_a_verification_gives_no_command_that_would_delete_a_file_of_a_later_run(vault: Vault) -> None:
    vault.copy("r3")
    vault.hide(vault.shared())
    vault.copy("r4", blind=True)
    (finding,) = vault.verify("r3").findings
    assert ("delete-object" in finding.found, "a file of a later run" in finding.found) == (False, True)


def test_what_a_thief_hid_under_a_name_before_the_copy_is_never_read_in_its_place(vault: Vault) -> None:
    vault.copy("r1")
    manifest = f"{STATE}/runs/r2/manifest.json"
    vault.put(manifest, b"{}")
    vault.hide(manifest)
    vault.copy("r2")
    assert (vault.published(), kinds(vault.verify())) == ("r2", set())
    put = vault.put(manifest, b"junk")
    verified = vault.verify()
    assert (verified.run, kinds(verified)) == ("r2", {"hidden"})
    # What brings it back leaves all else as it was.
    assert [put in finding.found for finding in verified.findings] == [True]
    assert verified.findings[0].found.count("delete-object") == 1


@pytest.mark.parametrize("document", ["copies.json", "dataset.json", "runs/r3/manifest.json"])
def test_copies_go_on_where_a_document_of_the_place_is_hidden(document: str, vault: Vault) -> None:
    vault.copy("r3")
    vault.hide(f"{STATE}/{document}")
    assert [run.state for run in vault.copy("r4").runs] == ["copied"]
    assert (vault.published(), kinds(vault.verify()) <= {"hidden"}) == ("r4", True)


@pytest.mark.parametrize("hides", [False, True])
def test_each_run_is_read_by_its_name_whatever_was_done_to_all_objects(hides: bool, vault: Vault) -> None:
    vault.copy("r1")
    vault.copy("r2")
    for name in vault.names():
        if hides:
            vault.hide(name)
        else:
            vault.put(name, b"junk")
    for run in ("r1", "r2"):
        verified = vault.verify(run)
        assert (verified.run, kinds(verified)) == (run, {"hidden"})


def test_a_list_of_runs_has_the_published_run_also_where_its_manifest_is_hidden(vault: Vault) -> None:
    for run in ("r1", "r2"):
        vault.copy(run)
    before = asyncio.run(list_runs(vault.store(), vault.there))
    assert [(line.run, line.published) for line in before] == [("r2", True), ("r1", False)]
    vault.hide(f"{STATE}/runs/r2/manifest.json")
    assert asyncio.run(list_runs(vault.store(), vault.there)) == before


@pytest.mark.parametrize("hides", [False, True])
def test_copies_go_on_where_a_file_that_runs_share_is_hidden_or_replaced(hides: bool, vault: Vault) -> None:
    vault.copy("r3")
    shared = vault.shared()
    (version,) = vault.versions(shared)
    if hides:
        vault.hide(shared)
    else:
        vault.put(shared, b"junk")
    vault.copy("r4")
    # It is the same file for both runs, and locked as long as the later one.
    assert vault.versions(shared)[-1] == version
    assert len(vault.versions(shared)) == (1 if hides else 2)
    assert kinds(vault.verify()) == {"hidden"}


def test_of_a_thousand_versions_over_an_object_a_message_names_the_newest(
    vault: Vault, caplog: pytest.LogCaptureFixture
) -> None:
    vault.copy("r1")
    (pointer,) = [name for name in vault.names() if "/log/" in name]
    newest = [vault.put(pointer, b"%d" % number) for number in range(50)][-1]
    vault.served.counts.clear()
    with caplog.at_level(logging.WARNING):
        verified = vault.verify()
    (found,) = [finding.found for finding in verified.findings if finding.file == pointer]
    assert ("by deleting 50 versions over it" in found, newest in found, len(found) < 500) == (True, True, True)
    warned = [record.getMessage() for record in caplog.records]
    assert [message.split()[0] for message in warned] == [pointer]


def test_what_is_hidden_after_a_process_has_read_it_is_read_by_it_all_the_same(vault: Vault) -> None:
    vault.copy("r1")
    vault.copy("r2")

    async def reads() -> list[str]:
        store = vault.store()
        first = await read_manifest(store, vault.there, "r1")
        vault.hide(f"{STATE}/runs/r1/manifest.json")
        again = await read_manifest(store, vault.there, "r1")
        other = vault.store()
        both = await asyncio.gather(*(read_manifest(other, vault.there, "r1") for _ in range(2)))
        await store.close()
        await other.close()
        return [manifest.run for manifest in (first, again, *both)]

    assert asyncio.run(reads()) == ["r1"] * 4


def test_each_file_is_brought_back_at_its_own_generation(vault: Vault) -> None:
    one, other = "copies/a.csv", "copies/b.csv"
    for name, data in ((one, b"of a"), (other, b"of b")):
        vault.put(name, data)
    first = vault.generations(one)[0]
    # In the same second, so that this version of one has the generation of the other.
    vault.put(other, b"the same")
    vault.later -= timedelta(seconds=2)
    vault.put(one, b"the same")
    wanted = {one: first, other: vault.generations(other)[0]}
    vault.hide(other)

    async def look() -> dict[str, Hidden]:
        store = vault.store()
        found = await uncover_generations(store, wanted)
        await store.close()
        return found

    assert {name: one.info and one.info.generation for name, one in asyncio.run(look()).items()} == wanted
