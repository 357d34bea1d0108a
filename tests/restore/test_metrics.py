"""What Prometheus reads: from the file that `status --metrics` writes, and from /metrics of the console."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from bqdump.core.metrics import CONTENT_TYPE, metrics_text
from bqdump.core.recovery import Recovery
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.times import time_of
from bqdump.services.keys import remembering
from browser.site import Site
from docs.walk import ROOT
from restore.test_recovery import START, Place, exported, status
from ui.test_app import ask

Samples = dict[tuple[str, str], float]


def samples(text: str) -> Samples:
    """The values by name and dataset or objective, as the official client reads them. Every one is a gauge of ours."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.name == family.name
            assert re.fullmatch("bqdump_[a-z_]+", sample.name)
            key = " ".join(value for name, value in sorted(sample.labels.items()) if name != "target")
            assert (sample.name, key) not in found
            found[sample.name.removeprefix("bqdump_"), key] = sample.value
    return found


def names(text: str) -> set[str]:
    return {family.name for family in text_string_to_metric_families(text)}


def in_folder(path: Path) -> list[str]:
    return [file.name for file in path.iterdir()]


def place_with_a_drill() -> tuple[Place, int]:
    place = Place(seconds=lambda table: 7.0)

    async def prepared() -> int:
        await exported(place, "r1")
        await place.drill("d1")
        return place.now()

    return place, asyncio.run(prepared())


def test_a_file_has_what_the_status_shows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    place, now = place_with_a_drill()
    file, late = tmp_path / "bqdump.prom", now + 27 * 3_600_000
    assert status(monkeypatch, place, "--metrics", str(file), "--rpo", "26h", "--rto", "4h", "--quiet", now=late) == 4
    found = samples(file.read_text())
    snapshot = found.pop(("published_timestamp_seconds", "data"))
    assert START / 1000 <= snapshot <= now / 1000
    assert found.pop(("recovery_point_timestamp_seconds", "data")) == snapshot
    proofs = {found.pop((name, "data")) for name in ("proof_timestamp_seconds", "oldest_proof_timestamp_seconds")}
    assert len(proofs) == 1
    assert found.pop(("run_duration_seconds", "data")) >= 7
    assert 7 <= found.pop(("restore_expected_seconds", "data")) < 15
    assert found == {
        ("tables", "data"): 3,
        ("proven_tables", "data"): 3,
        ("failed_tables", "data"): 0,
        ("files", "data"): 3,
        ("bytes", "data"): 6,
        ("rows", "data"): 3,
        ("run_billed_bytes", "data"): 0,
        ("objective_seconds", "rpo"): 93_600,
        ("objective_seconds", "rto"): 14_400,
        ("objective_broken", "data rpo"): 1,
        ("objective_broken", "data rto"): 0,
        ("checked_timestamp_seconds", ""): late / 1000,
    }


def test_a_file_is_replaced_at_once_and_stays_as_it_was_where_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place, now = place_with_a_drill()
    file, seen = tmp_path / "bqdump.prom", list[set[str]]()
    replace = Path.replace

    def watched(path: Path, to: Path) -> Any:
        seen.append({name for name in in_folder(tmp_path) if name.endswith(".prom")})
        assert names(path.read_text()) > {"bqdump_tables"}
        return replace(path, to)

    monkeypatch.setattr(Path, "replace", watched)
    assert status(monkeypatch, place, "--metrics", str(file), now=now) == 0
    assert seen == [set()]
    assert in_folder(tmp_path) == ["bqdump.prom"]
    before = file.read_bytes()

    def refused(path: Path, to: Path) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", refused)
    assert status(monkeypatch, place, "--metrics", str(file), now=now + 1000) == 2
    assert "bqdump.prom: Permission denied" in capsys.readouterr().err
    assert (in_folder(tmp_path), file.read_bytes()) == (["bqdump.prom"], before)
    missing = tmp_path / "no" / "bqdump.prom"
    monkeypatch.setattr(Path, "replace", replace)
    assert status(monkeypatch, place, "--metrics", str(missing), now=now) == 2
    assert f"Create the folder first: mkdir -p {missing.parent}" in capsys.readouterr().err


def test_metrics_of_a_run_that_is_followed_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(monkeypatch, Place(), "--metrics", "x.prom", "--watch") == 2
    assert "--metrics" in capsys.readouterr().err


def test_what_is_unknown_is_left_out_and_names_are_escaped() -> None:
    settings = Settings(project="p", dataset="d", target=Target("file", 'a\\b "c"\nd'), rpo=60)
    lost = Recovery(dataset="lost", broken_objectives=("rpo",))
    text = metrics_text([lost, Recovery(dataset="d", published="r", locked_until=time_of(START))], settings, 1.5)
    found = samples(text)
    assert {key for name, key in found if name == "files"} == {"d"}
    assert found["locked_until_timestamp_seconds", "d"] == START / 1000
    assert ("recovery_point_timestamp_seconds", "d") not in found
    assert (found["objective_broken", "lost rpo"], found["objective_broken", "d rpo"]) == (1, 0)
    (checked,) = [
        family for family in text_string_to_metric_families(text) if family.name.endswith("checked_timestamp_seconds")
    ]
    assert checked.samples[0].labels == {"target": str(settings.target)}


def test_the_console_serves_the_same() -> None:
    place, _ = place_with_a_drill()
    settings = msgspec.structs.replace(place.settings, rpo=60)
    site = Site(place.store, settings)
    try:
        code, headers, text = ask(site, "/metrics")
        again = ask(site, "/metrics")[2]
    finally:
        site.close()
    assert (code, headers["content-type"]) == (200, CONTENT_TYPE)
    assert samples(text)["proven_tables", "data"] == 3
    assert names(text) == names(metrics_text([], settings, 0.0))
    # Each answer costs listings: who asks often gets the same.
    assert again == text
    assert remembering(place.store, settings) is None


def test_the_dashboard_has_every_metric_and_no_other() -> None:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    used = {name for query in queries for name in re.findall(r"bqdump_\w+", query)}
    assert used == names(metrics_text([], Settings(project="", dataset="", target=Target()), 0.0))
    variables = dashboard["templating"]["list"]
    asked = {name for variable in variables for name in re.findall(r"bqdump_\w+", json.dumps(variable))}
    assert asked < used
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    assert [query for query in queries if query.count("(") != query.count(")")] == []
