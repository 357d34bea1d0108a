"""The container image: what goes in, and that its steps give a bqdump that runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.dockerfile import Stage, exec_form, follow, importable, read, sent

ROOT = Path(__file__).parents[2]
IGNORE = (ROOT / ".dockerignore").read_text()
# Packages that only tests and the local stack need.
NOT_IN_THE_IMAGE = [
    "duckdb", "fastavro", "googleapiclient", "hypothesis", "jsonschema", "mypy", "pandas", "polars", "pyarrow",
    "pytest", "ruff", "sqlglot", "starlette", "uvicorn",
]  # fmt: skip


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return read((ROOT / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def image(stages: list[Stage], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return follow(stages[0], ROOT, IGNORE, tmp_path_factory.mktemp("image"))


def test_every_copied_path_exists_and_is_sent_to_the_build(stages: list[Stage]) -> None:
    copies = [step for stage in stages for step in stage.steps if step.word == "COPY" and not step.stage]
    sources = [source.rstrip("/") for step in copies for source in step.sources]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert sent(IGNORE, source), f".dockerignore keeps {source} out"


def test_stages_are_copied_from_only_after_they_were_built(stages: list[Stage]) -> None:
    built: list[str] = []
    for stage in stages:
        for step in stage.steps:
            if step.stage:
                assert step.stage in built
        built.append(stage.name)


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", "bqdump.toml", "key.json", "requirements/dev.txt", "tests/__init__.py",
     "src/bqdump/__pycache__/ports.cpython-311.pyc", "docs/deploy.md"],
)  # fmt: skip
def test_nothing_but_what_the_build_needs_is_sent(path: str) -> None:
    assert not sent(IGNORE, path)


def test_the_package_itself_is_sent() -> None:
    assert sent(IGNORE, "src/bqdump/core/settings.py")


def test_the_container_runs_bqdump_run_as_a_numeric_user(stages: list[Stage]) -> None:
    final = stages[-1]
    assert exec_form(final.last("ENTRYPOINT")) == ["bqdump"]
    assert exec_form(final.last("CMD")) == ["run"]
    user, _, group = final.last("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_both_stages_stand_on_the_same_python(stages: list[Stage]) -> None:
    assert len({step.words[0] for stage in stages for step in stage.steps if step.word == "FROM"}) == 1


def test_every_package_is_installed_by_its_hash(stages: list[Stage]) -> None:
    installs = [
        command
        for stage in stages
        for step in stage.steps
        if step.word == "RUN"
        for command in step.rest.split("&&")
        if "pip install" in command
    ]
    assert len(installs) == 3
    assert all("--require-hashes" in command or "--no-index" in command for command in installs)


def test_the_buildpack_starts_what_the_container_starts(stages: list[Stage]) -> None:
    final = stages[-1]
    words = [*exec_form(final.last("ENTRYPOINT")), *exec_form(final.last("CMD"))]
    assert (ROOT / "Procfile").read_text() == f"web: {' '.join(words)}\n"


def test_the_image_tells_its_version_and_help(image: Path) -> None:
    bqdump = image / "app/bin/bqdump"
    version = subprocess.run([bqdump, "--version"], capture_output=True, text=True, check=True, env={})
    usage = subprocess.run([bqdump, "--help"], capture_output=True, text=True, check=True, env={})
    expected = next(
        line.split('"')[1]
        for line in (ROOT / "src/bqdump/__init__.py").read_text().splitlines()
        if line.startswith("__version__")
    )
    assert expected in version.stdout
    assert "run" in usage.stdout


def test_the_image_holds_nothing_of_development(image: Path) -> None:
    python = image / "app/bin/python"
    assert importable(python, ["bqdump", "click", "google.cloud.bigquery"]) == [
        "bqdump",
        "click",
        "google.cloud.bigquery",
    ]
    assert importable(python, NOT_IN_THE_IMAGE) == []


def test_the_image_has_bytecode_for_every_module_of_bqdump(image: Path) -> None:
    package = next((image / "app/lib").glob("python3*/site-packages/bqdump"))
    sources = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")}
    compiled = {(path.parent.parent / path.name.split(".")[0]).relative_to(package) for path in package.rglob("*.pyc")}
    assert sources
    assert compiled == sources


def test_the_dockerfile_has_no_lint() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint is missing: make check installs it"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


def test_the_runtime_lock_names_every_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = {
        line.split("==")[0] for line in (ROOT / "requirements/runtime.txt").read_text().splitlines() if "==" in line
    }
    assert {name.split(">=")[0] for name in project["dependencies"]} <= locked
