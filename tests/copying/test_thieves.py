"""Thieves, and rules that delete, at locked copies in S3: what a run names stays, and nothing else is believed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from copying.s3_scene import Vault, kinds
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
    vault.copy("r4")
    assert len(vault.versions(vault.shared())) == 2
    assert [run.run for run in vault.prune(keep_last=1).removed] == ["r3"]
    assert kinds(vault.verify("r4")) <= SOUND


def test_prune_deletes_all_versions_of_a_file_once_no_run_names_one(vault: Vault) -> None:
    for run in ("r1", "r2"):
        vault.copy(run)
        shared = vault.shared()
        vault.hide(shared)
    vault.copies.source.warehouse.put("p", "sales", "sales", ["another row"])
    vault.copies.export("r5", incremental=True)
    vault.copy("r5")
    assert vault.versions(shared)
    assert {run.run for run in vault.prune(keep_last=1).removed} == {"r1", "r2"}
    assert not vault.versions(shared)
    assert kinds(vault.verify("r5")) <= SOUND
