"""The archives of a release: equal each time, the wheel from the source, with what users need and nothing else."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from docs.walk import ROOT

BIN = Path(sys.executable).parent
PACKAGES = ("bqdump", "bqdump_airflow", "bqdump_claims", "bqdump_dagster", "bqdump_local")


def built(source: Path, target: Path, *parts: str) -> dict[str, str]:
    """Build like `make dist`; the SHA-256 of each archive."""
    command: list[str | Path] = [
        BIN / "uv",
        "build",
        "-q",
        "--no-config",
        "--no-build-isolation",
        "--python",
        sys.executable,
    ]
    subprocess.run([*command, "--out-dir", target, *parts, source], check=True)
    archives = [path for path in target.iterdir() if path.name.startswith("bqdump-")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in archives}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    built(ROOT, folder)
    return folder


def content(dist: Path) -> tuple[set[str], set[str]]:
    """The names in the source archive, without its folder, and in the wheel."""
    (source,), (wheel,) = dist.glob("*.tar.gz"), dist.glob("*.whl")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    return names, set(zipfile.ZipFile(wheel).namelist())


def test_another_build_elsewhere_makes_the_same_archives(dist: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "my work é"
    ignored = shutil.ignore_patterns("__pycache__", ".venv", ".git", "node_modules", "dist", ".*_cache")
    shutil.copytree(ROOT, elsewhere, ignore=ignored, symlinks=True)
    again = built(elsewhere, tmp_path / "again")
    assert len(again) == 2
    assert again == built(ROOT, dist)


def test_the_source_archive_builds_the_same_wheel(dist: Path, tmp_path: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    (unpacked,) = tmp_path.iterdir()
    (wheel,) = dist.glob("*.whl")
    assert built(unpacked, tmp_path / "again", "--wheel") == {
        wheel.name: hashlib.sha256(wheel.read_bytes()).hexdigest()
    }


def test_both_archives_have_the_license_and_types_and_no_tests(dist: Path) -> None:
    source, wheel = content(dist)
    assert "LICENSE" in source
    assert [name for name in wheel if name.endswith("/licenses/LICENSE")] != []
    for package in PACKAGES:
        assert f"src/{package}/py.typed" in source
        assert f"{package}/py.typed" in wheel
    packages = "|".join(PACKAGES)
    allowed = re.compile(rf"src/({packages})/.+|LICENSE|README\.md|PKG-INFO|pyproject\.toml|\.gitignore")
    assert [name for name in source if not allowed.fullmatch(name)] == []
    assert {name.partition("/")[0].partition("-")[0] for name in wheel} == {*PACKAGES}


def test_the_wheel_has_every_file_of_the_packages(dist: Path) -> None:
    _, wheel = content(dist)
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "--", *(f"src/{package}" for package in PACKAGES)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    files = {name.removeprefix("src/") for name in listed.stdout.splitlines() if not (ROOT / name).is_symlink()}
    files |= {
        f"bqdump/render/module/{name}" for name in ("main.tf", "workflow.yaml", "jobs/rows.json", "vault/main.tf")
    }
    files |= {f"bqdump/docs/{page.name}" for page in (ROOT / "docs").glob("*.md")}
    assert len(files) > 500
    assert files - wheel == set()
    assert [name for name in wheel if name.startswith("bqdump/docs/") and not name.endswith(".md")] == []
