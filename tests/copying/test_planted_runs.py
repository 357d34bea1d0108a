"""Prunes of locked, signed copies next to which somebody without the key has stored runs and junk."""

from __future__ import annotations

import asyncio
import json

import pytest

from bqdump.core.documents.codec import encode
from bqdump.core.documents.retention import PrunedRun
from bqdump.core.errors import DocumentError, UsageError
from bqdump.core.retention.policy import refuse_kept
from bqdump.core.times import rfc3339
from bqdump.repository.repository import exists
from copying.scene import Copies
from copying.test_replaced_manifests import changed, manifest_of, named_by, night, prune, removed, unlock, vault

__all__ = ["vault"]


def test_forged_runs_take_the_place_of_no_other_and_go_by_name_without_a_key(vault: Copies) -> None:
    night(vault, "r1", "r2", "r3")
    unlock(vault)
    newest = vault.manifest("r3").snapshot
    for number in range(3):
        times = {"snapshot": newest - 1 - number, "snapshot_time": rfc3339(newest - 1 - number)}
        forged = json.loads(changed(vault, **times).replace(b"r1", f"forged{number}".encode()))
        for table in forged["tables"]:
            table["snapshot_time"] = times["snapshot_time"]
        vault.target.put_now(manifest_of(vault, f"forged{number}"), json.dumps(forged, separators=(",", ":")).encode())
    pruned = prune(vault, keep_last=2)
    assert {run.run: run.reasons for run in pruned.runs} == {
        "r3": ("published", "last"), "r2": ("last",), "r1": (), **dict.fromkeys(
            ("forged0", "forged1", "forged2"), ("not trusted",)
        )
    }  # fmt: skip
    assert [note for note in pruned.notes if "Run forged1 is kept, in no place of another" in note]
    with pytest.raises(UsageError, match="not trusted"):
        refuse_kept(["forged1"], prune(vault, "forged1"))
    prune(vault, "forged1", trust=False)
    assert not vault.target.peek(manifest_of(vault, "forged1"))


JUNK = {
    "runs/junk/manifest.json": b"junk", "runs/deep/manifest.json": b'{"a":' * 100_000, "runs/lost/note": b"",
    "log/20260101T000000.000Z-lost.json": b"{}", "runs/big/signature.json": b"x" * (17 << 20),
    "tags/r1.json": b"junk", "log/pruned/r2.json": b"junk", "runs/r2/plan.json": b"junk",
    "runs/t\u00fcr ../manifest.json": b"{}", "publishing.json": b"junk", "newest.json": b"junk",
    "drills/junk.json": b"junk", "restores/junk/junk": b"junk", "pointers/junk.json": b"junk",
}  # fmt: skip


def test_no_junk_stops_a_prune_that_trusts_a_key(vault: Copies) -> None:
    night(vault, "r1", "r2", "r3")
    unlock(vault)
    layout = vault.there.layout
    planted = {
        # Of a run that is kept, which its files would not outlive.
        "log/pruned/r3.json": encode(PrunedRun(run="r3")),
        "runs/big/manifest.json": changed(vault).replace(b"r1", b"big"),
        "runs/other/manifest.json": changed(vault, run="other"),
    }
    for name, data in (JUNK | planted).items():
        vault.target.put_now(f"{layout.root}{name}", data)
    with pytest.raises(DocumentError, match="trust"):
        prune(vault, trust=False, keep_last=1)
    pruned = prune(vault, keep_last=1)
    reasons = {run.run: run.reasons for run in pruned.runs}
    assert reasons == {"r3": ("published", "last"), "r2": (), "r1": ("not trusted",), "big": ("not trusted",)}
    for run in ("junk", "deep", "lost", "other"):
        assert [note for note in pruned.notes if f"runs/{run}/manifest.json is passed over: " in note], run
    # What is kept is whole.
    assert removed(pruned) == ["r2"]
    assert not [name for name in vault.target.names_now() if "/r2/" in name]
    assert named_by(vault, "r3") <= set(vault.data())
    assert all(asyncio.run(exists(vault.target, layout.run(run).manifest)) for run in ("r1", "r3"))
