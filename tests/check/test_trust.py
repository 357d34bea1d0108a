"""Where keys are trusted, a verification names whatever a forger has done to a signed export."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from bqdump import verbs
from bqdump.core.documents.signature import Envelope
from bqdump.core.errors import VerificationError
from bqdump.core.settings.settings import Settings
from bqdump.core.times import rfc3339
from bqdump.services import keys
from entries import entry
from observe.test_trust import ANOTHER, public, sign
from retain.scene import DAY, LAYOUT, SETTINGS, Scene

HOUR = 3600


class Signed(Scene):
    """A bucket with runs that are signed by a key which is trusted."""

    def __init__(self, folder: Path, *runs: str) -> None:
        super().__init__()
        self.key, self.other = public(folder), public(folder, ANOTHER, "other.pub")
        for run in runs:
            self.run(run)
            sign(self.store, SETTINGS.target, LAYOUT, run)

    def verify(self, run: str = "", *trust: str, **settings: Any) -> str:
        """The run that is verified, by default the published one. trust: by default the key that signs."""
        chosen: Settings = replace(SETTINGS, trust=trust or (self.key,), **settings)
        verified = asyncio.run(verbs.verify(lambda _: self.store, chosen, run))
        assert verified.findings == ()
        return verified.run

    def refuses(self, run: str, *words: str, trust: tuple[str, ...] = (), **settings: Any) -> None:
        """A verification of this run ends with an error that says all of this."""
        with pytest.raises(VerificationError) as refused:
            self.verify(run, *trust, **settings)
        assert [word for word in words if word not in str(refused.value)] == [], refused.value

    def read(self, name: str) -> bytes:
        found = self.store.peek(name)
        assert found, name
        return found[0]

    def enter(self, run: str) -> None:
        """Let the entry of a run be about its manifest as it is stored now."""
        found = self.store.peek(LAYOUT.run(run).manifest.name)
        assert found
        about = {"generation": found[1].generation, "digest": hashlib.sha256(found[0]).hexdigest()}
        name = entry(self.store, LAYOUT, run)
        self.store.put_now(name, json.dumps(json.loads(self.read(name)) | about).encode())


Sign = Callable[..., Signed]


@pytest.fixture
def signed(tmp_path: Path) -> Sign:
    return lambda *runs: Signed(tmp_path, *runs)


def manifest_of(run: str) -> str:
    return LAYOUT.run(run).manifest.name


def signature_of(run: str) -> str:
    return manifest_of(run).replace("manifest.json", "signature.json")


def test_one_of_the_keys_must_have_signed_a_run(signed: Sign, caplog: pytest.LogCaptureFixture) -> None:
    scene = signed("one")
    assert scene.verify() == scene.verify("", scene.other, scene.key) == "one"
    scene.refuses("", "cannot trust run one", "another key", "SHA256:", trust=(scene.other,))
    scene.run("two")
    assert scene.verify() == "one"
    assert "-two.json is not used: cannot trust run two: it is not signed" in caplog.text
    scene.refuses("two", "cannot trust run two: it is not signed")
    # Without a key that anything is signed by, it is the newest one that is named.
    scene.refuses("", "cannot trust run two", trust=(scene.other,))


def test_a_forged_manifest_is_named_although_it_fits_its_files(signed: Sign) -> None:
    scene = signed("one")
    manifest = json.loads(scene.read(manifest_of("one")))
    table = manifest["tables"][0]
    (file,) = table["files"]
    info = scene.store.put_now(file["name"], b"mallory\n")
    manifest["totals"]["bytes"] += info.size - file["size"]
    file |= {"size": info.size, "crc32c": info.crc32c, "generation": info.generation}
    scene.store.put_now(manifest_of("one"), json.dumps(manifest).encode())
    scene.enter("one")
    assert asyncio.run(verbs.verify(lambda _: scene.store, SETTINGS)).findings == ()
    scene.refuses("", "cannot trust run one", "is not the manifest that was signed", "changed or replaced")


def test_files_that_are_written_again_are_not_taken_for_a_copy(signed: Sign) -> None:
    scene = signed("one")
    files = [file["name"] for table in json.loads(scene.read(manifest_of("one")))["tables"] for file in table["files"]]
    # As with other bytes of the same CRC32C; and the manifest, which has another generation than its entry says.
    for name in (*files, manifest_of("one")):
        scene.store.put_now(name, scene.read(name))
    assert asyncio.run(verbs.verify(lambda _: scene.store, SETTINGS)).findings == ()
    scene.refuses("", "cannot trust run one", "all of its files were written again")


def test_a_signature_by_another_key_or_of_something_else_is_named(signed: Sign) -> None:
    scene = signed("one")
    name, before = manifest_of("one"), scene.read(manifest_of("one"))
    scene.store.put_now(name, json.dumps(json.loads(before) | {"labels": {"forged": "yes"}}).encode())
    envelope = msgspec.json.decode(scene.read(signature_of("one")), type=Envelope)
    statement = json.loads(envelope.payload)
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(scene.read(name)).hexdigest()
    # The id of a trusted key is only a hint, which a forger can copy.
    forged = replace(envelope, payload=json.dumps(statement).encode())
    scene.store.put_now(signature_of("one"), msgspec.json.encode(forged))
    scene.refuses("", "its signature is wrong")
    for junk in (b"{}", b"junk", b'{"payload":"","signatures":[]}', b"[]"):
        scene.store.put_now(signature_of("one"), junk)
        scene.refuses("", "cannot trust run one")
    scene.delete_now("/one/signature.json")
    scene.refuses("", "it is not signed")


def test_a_run_in_the_folder_of_another_one_is_named(signed: Sign, caplog: pytest.LogCaptureFixture) -> None:
    scene = signed("one", "two")
    scene.store.put_now(manifest_of("two"), scene.read(manifest_of("one")))
    assert scene.verify() == "one"
    scene.refuses("two", "is not the manifest that was signed")
    scene.store.put_now(signature_of("two"), scene.read(signature_of("one")))
    for _ in range(2):
        caplog.clear()
        assert scene.verify() == "one"
        assert "cannot trust run two: it is the manifest of run one" in caplog.text
        scene.refuses("two", "cannot trust run two: it is the manifest of run one")
        # Also where its entry names this manifest.
        scene.enter("two")


def test_a_newer_run_that_is_planted_is_named(signed: Sign, caplog: pytest.LogCaptureFixture) -> None:
    scene = signed("one")
    manifest = json.loads(scene.read(manifest_of("one")))
    snapshot = manifest["snapshot"] + 1
    newer = {"run": "zwei", "snapshot": snapshot, "snapshot_time": rfc3339(snapshot)}
    scene.store.put_now(manifest_of("zwei"), json.dumps(manifest | newer).encode())
    planted = json.loads(scene.read(entry(scene.store, LAYOUT, "one"))) | newer
    scene.store.put_now(LAYOUT.entry("zwei", snapshot).name, json.dumps(planted).encode())
    scene.enter("zwei")
    assert asyncio.run(verbs.verify(lambda _: scene.store, SETTINGS)).run == "zwei"
    assert scene.verify() == "one"
    assert "cannot trust run zwei: it is not signed" in caplog.text
    scene.refuses("zwei", "cannot trust run zwei: it is not signed")


def test_a_log_without_its_newest_entry_is_named_by_the_age_of_the_published_run(
    signed: Sign, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = signed("old", "new")
    recent: dict[str, Any] = {"newest_within": 26 * HOUR}
    monkeypatch.setattr(keys, "time", SimpleNamespace(time=lambda: scene.now / 1000))
    assert scene.verify(**recent) == "new"
    scene.delete_now("-new.json")
    assert scene.verify(**recent) == "old"
    scene.now += DAY
    scene.refuses("", "cannot trust run old", "not within", "entries of the log were deleted", **recent)
    with pytest.raises(VerificationError, match="cannot trust run old"):
        asyncio.run(verbs.verify(lambda _: scene.store, replace(SETTINGS, **recent)))
    # Who names a run wants that one.
    assert scene.verify("old", **recent) == scene.verify() == "old"
