"""Thieves with the grants of the exporter, the copier and the pruner of a vault that holds a set of datasets.

Yesterday's set restores equal after each attack, and what was forged is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core.exceptions import Forbidden

from bqdump.core.documents.layout import Layout
from bqdump.render.append_only import COPIER
from integration.stage import Stage
from integration.test_append_only import ATTACKS, noted
from integration.test_sets import DATASETS, TABLES, fill
from integration.test_thieves import ROLES, TRUST, grant, release, shortened, unlocked
from integration.test_vault import create_bucket, dest, name_of, objects
from integration.test_vault_of_sets import AT, STATE, copy, export

SIGN = ("--sign", "copier.key")
LATER = {
    "snapshot": int(datetime(2100, 1, 1, tzinfo=UTC).timestamp() * 1000),
    "snapshot_time": "2100-01-01T00:00:00Z",
}


@pytest.fixture
def vault(stage: Stage) -> Iterator[Stage]:
    """A vault with the signed copies of two nights of a set, the second of which changed a table."""
    fill(stage)
    create_bucket(stage)
    assert stage.command("keys", "new", "copier").code == 0
    for run in ("earlier", "yesterday"):
        export(stage, run)
        copy(stage, *SIGN)
        stage.sql(f"UPDATE `{stage.project}.sales.orders` SET name = CONCAT(name, '+') WHERE TRUE")
    yield stage
    release(stage)


def rows(stage: Stage, dataset: str) -> list[Any]:
    return [stage.sql(f"SELECT * FROM `{stage.project}.{dataset}.{table}` ORDER BY id") for table in TABLES]


def survives(stage: Stage, *, restores: bool = True) -> str:
    """Hold that the vault's set is yesterday's, whole, and restores equal; what was said meanwhile."""
    release(stage)
    at = ("--to", dest(stage), *TRUST)
    called = stage.command("verify", "--read", "--json", *at, env=AT)
    assert called.code == 0, called.text
    found = json.loads(called.out)
    assert (found["run"], {(one["dataset"], one["run"]) for one in found["datasets"]}) == (
        "yesterday", {(name, "yesterday") for name in DATASETS},
    )  # fmt: skip
    if restores:
        words = ("--into", "{dataset}_back", "--via", f"gs://{stage.bucket}/via")
        restored = stage.command("restore", *at, *words, env=AT)
        assert restored.code == 0, restored.text
        # The table has changed since, by one more mark.
        assert [name for _, name in rows(stage, "sales_back")[1]] == [name[:-1] for _, name in rows(stage, "sales")[1]]
        assert rows(stage, "ops_eu_back") == rows(stage, "ops_eu")
    return called.err


@pytest.mark.parametrize("role", ROLES)
def test_a_thief_changes_no_document_of_a_set(role: str, vault: Stage) -> None:
    before = {name: object_["generation"] for name, object_ in objects(vault).items()}
    grant(vault, *ROLES[role])
    passed = set[str]()
    own = [name for name in before if name.startswith(f"{STATE}/")]
    assert len(own) == 10
    for name in own:
        for attack in (*ATTACKS, shortened, unlocked):
            try:
                attack(vault.store.bucket(name_of(vault)).blob(name))
            except Forbidden:
                continue
            passed.add(attack.__name__)
    # What an object's metadata say beside its content is not believed.
    assert passed == ({noted.__name__} if role == "copier" else set())
    release(vault)
    assert {name: object_["generation"] for name, object_ in objects(vault).items()} == before
    survives(vault, restores=role == "copier")


class Thief:
    """Somebody who stores what looks like documents of the set, with the copier's grants."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.there = stage, stage.store.bucket(name_of(stage))
        self.documents = {name: self.there.blob(name).download_as_bytes() for name in objects(stage)}
        (self.manifest,) = self.named("projects/yesterday/", "manifest.json")
        (self.pointer,) = self.named("pointers/yesterday.", ".json")
        grant(stage, *COPIER)

    def named(self, start: str, end: str) -> list[str]:
        return [name for name in self.documents if name.startswith(f"{STATE}/{start}") and name.endswith(end)]

    def plant(self, name: str, data: bytes) -> int:
        blob = self.there.blob(name)
        blob.upload_from_string(data, if_generation_match=0)
        return int(blob.generation)

    def plant_set(self, run: str, manifest: dict[str, Any], signature: bytes = b"", **pointed: object) -> str:
        """A set's run with a pointer that fits it; the name of the pointer."""
        # As it was signed, where it says the same.
        data = json.dumps(manifest, indent=2).encode() + b"\n"
        digest = hashlib.sha256(data).hexdigest()[:16]
        name = f"{STATE}/projects/{run}/{digest}/manifest.json"
        generation = self.plant(name, data)
        if signature:
            self.plant(f"{STATE}/projects/{run}/{digest}/signature.json", signature)
        pointer = json.loads(self.documents[self.pointer])
        pointer |= {"run": run, "manifest": name, "manifest_generation": generation}
        pointer |= {key: manifest[key] for key in ("snapshot", "snapshot_time")} | pointed
        self.plant(f"{STATE}/pointers/{run}.{digest}.json", json.dumps(pointer).encode())
        return f"pointers/{run}.{digest}.json"

    def yesterdays(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.documents[self.manifest])
        return found


def test_what_a_thief_plants_beside_a_set_is_named_and_not_followed(vault: Stage) -> None:
    thief = Thief(vault)
    yesterday, earlier = thief.yesterdays(), json.loads(thief.documents[thief.named("projects/earlier/", "t.json")[0]])
    (signature,) = thief.named("projects/yesterday/", "signature.json")
    signed, before = thief.documents[signature], thief.documents[thief.named("projects/earlier/", "signature.json")[0]]
    # A later run that leads elsewhere, one that mixes two nights, and that of yesterday with an earlier dataset.
    entries = {entry["dataset"]: entry for entry in yesterday["datasets"]}
    mixed = [entries["ops_eu"], next(entry for entry in earlier["datasets"] if entry["dataset"] == "sales")]
    named = [
        thief.plant_set("newer", yesterday | LATER | {"run": "newer"}, signed, number=0),
        thief.plant_set("mixed", yesterday | LATER | {"run": "mixed", "datasets": mixed}, signed, number=0),
        thief.plant_set("yesterday", yesterday | {"datasets": mixed}, signed, number=9),
        thief.plant_set("none", yesterday | LATER | {"run": "none", "datasets": []}),
        # The manifest of the earlier night, as it was signed, under another name.
        thief.plant_set("earlier", earlier, before, **LATER),
    ]
    # What says that one dataset is there, and that another run was planned.
    run = f"{STATE}/runs/stranger/manifest.json"
    generation = thief.plant(run, thief.documents["sales/sales/_bqdump/runs/yesterday/manifest.json"])
    one = json.loads(thief.documents[thief.pointer]) | LATER | {"dataset": "sales", "run": "stranger"}
    one |= {"manifest": run, "manifest_generation": generation}
    thief.plant(f"{STATE}/pointers/stranger.json", json.dumps(one).encode())
    (own,) = [name for name in thief.documents if name.startswith("sales/sales/") and name.endswith("-yesterday.json")]
    entry = json.loads(thief.documents[own])
    for name in ("stranger", "yesterday"):
        planted = Layout("sales/").entry(name, entry["snapshot"]).name
        thief.plant(planted, json.dumps(entry | {"run": name, "generation": generation}).encode())
    thief.plant(f"{STATE}/pointers/junk.json", b"junk")
    thief.plant(f"{STATE}/newest.json", json.dumps({"format_version": 1, "run": "newer"}).encode())
    thief.plant(f"{STATE}/projects/newer/plan.json", b"junk")
    thief.plant("sales/stranger/_bqdump/latest.json", b"junk")
    thief.plant("sales/junk", b"junk" * 1000)
    with pytest.raises(Forbidden):
        thief.there.blob(f"{STATE}/latest.json").upload_from_string(b"{}")
    said = survives(vault)
    for name in (*named, "pointers/stranger.json", "pointers/junk.json"):
        assert f"{STATE}/{name} is not used" in said, (name, said)
    at = ("--to", dest(vault), *TRUST)
    for words in (("verify", "newer"), ("restore", "mixed", "--into", "{dataset}_m", "--plan")):
        called = vault.command(*words, *at, env=AT)
        assert called.code in (4, 5), called.text
    status = json.loads(vault.command("status", "--json", *at[:2], env=AT).out)
    assert status["run"] in ("newer", "mixed")
    # The next copy is the published set all the same.
    export(vault, "today")
    copy(vault, *SIGN)
    found = json.loads(vault.command("verify", "--json", *at, env=AT).out)
    assert (found["run"], {one["run"] for one in found["datasets"]}) == ("today", {"today"})


def test_a_set_that_is_too_old_is_refused(vault: Stage) -> None:
    at = ("--to", dest(vault), *TRUST)
    assert vault.command("verify", *at, "--newest-within", "26h", env=AT).code == 0
    for _ in range(20):
        old = vault.command("verify", *at, "--newest-within", "1s", env=AT)
        if old.code:
            break
    assert (old.code, "cannot trust run yesterday" in old.err) == (4, True), old.text
