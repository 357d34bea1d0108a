"""The container image: its content, and that its steps build a bqdump that runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from bqdump import __version__
from bqdump_local import stack as local_stack
from deploy.dockerfile import Stage, exec_form, follow, importable, read, sent

EXTRAS = ("runtime", "otel", "read", "s3", "verify")
ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
IGNORE = (ROOT / ".dockerignore").read_text()
# Packages that only tests and the local stack need.
NOT_IN_THE_IMAGE = [
    "bqdump_memory", "duckdb", "fastavro", "googleapiclient", "hypothesis", "jsonschema", "mypy", "pandas", "polars",
    "pyarrow", "pytest", "ruff", "sqlglot", "starlette", "uvicorn",
]  # fmt: skip


@pytest.fixture(scope="module")
def stages() -> list[Stage]:
    return read((ROOT / "Dockerfile").read_text(), REVISION=COMMIT)


def test_the_image_names_its_version_and_commit(stages: list[Stage]) -> None:
    prefix = "org.opencontainers.image"
    labels = dict(re.findall(r'([\w.]+)="([^"]*)"', stages[-1].last("LABEL")))
    assert labels[f"{prefix}.version"] == __version__
    assert (labels[f"{prefix}.revision"], labels[f"{prefix}.licenses"]) == (COMMIT, "Apache-2.0")
    build = yaml.safe_load((ROOT / "deploy/cloudbuild.yaml").read_text())
    assert "--build-arg=REVISION=${_REVISION}" in build["steps"][0]["args"]
    assert build["options"]["requestedVerifyOption"] == "VERIFIED"


def test_every_copied_path_exists_and_is_sent_to_the_build(stages: list[Stage]) -> None:
    copies = [step for stage in stages for step in stage.steps if step.word == "COPY" and not step.stage]
    sources = [source.rstrip("/") for step in copies for source in step.sources]
    assert sources
    for source in sources:
        below = [path.relative_to(ROOT).as_posix() for path in (ROOT / source).rglob("*")]
        assert any(sent(IGNORE, path) for path in (below or [source])), f".dockerignore keeps {source} out"
        assert (ROOT / source).exists(), source


def test_stages_are_copied_from_only_after_they_are_built(stages: list[Stage]) -> None:
    built: list[str] = []
    copied = 0
    for stage in stages:
        for step in stage.steps:
            if step.stage:
                assert step.stage in built
                copied += 1
        built.append(stage.name)
    assert copied


@pytest.mark.parametrize(
    "path",
    [".git/config", ".venv/bin/python", "bqdump.toml", "key.json", "requirements/dev.txt", "tests/__init__.py",
     "src/bqdump/__pycache__/ports.cpython-311.pyc", "docs/console.png"],
)  # fmt: skip
def test_nothing_but_what_the_build_needs_is_sent(path: str) -> None:
    assert not sent(IGNORE, path)


def test_the_package_itself_is_sent() -> None:
    assert sent(IGNORE, "src/bqdump/core/settings/settings.py")


def test_the_container_runs_bqdump_run_as_a_numeric_user(stages: list[Stage]) -> None:
    final = stages[-1]
    assert exec_form(final.last("ENTRYPOINT")) == ["bqdump"]
    assert exec_form(final.last("CMD")) == ["run"]
    user, _, group = final.last("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0


def test_both_stages_have_the_same_python_by_its_digest(stages: list[Stage]) -> None:
    (base,) = {step.words[0] for stage in stages for step in stage.steps if step.word == "FROM"}
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm@sha256:[0-9a-f]{64}", base)


def test_no_frontend_is_fetched_to_read_the_dockerfile() -> None:
    assert not re.search(r"^#\s*(syntax|check|escape)\s*=", (ROOT / "Dockerfile").read_text(), re.MULTILINE)


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


# One test, so that the image is built only once when tests run in several processes.
def test_following_the_steps_gives_an_image_that_exports(stages: list[Stage], tmp_path: Path) -> None:
    image = follow(stages[0], ROOT, IGNORE, tmp_path / "image")
    _nothing_can_be_changed(image / "app")
    _it_holds_the_runtime_only(image / "app/bin/python")
    _every_module_has_bytecode(next((image / "app/lib").glob("python3*/site-packages/bqdump")))
    bqdump = image / "app/bin/bqdump"
    assert _output([bqdump, "--version"]) == f"bqdump {__version__} ({COMMIT})\n"
    assert "run" in _output([bqdump, "--help"])
    _it_exports([bqdump, *exec_form(stages[-1].last("CMD"))], tmp_path / "buckets")


def _output(command: list[str | Path], **environ: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _nothing_can_be_changed(app: Path) -> None:
    paths = [path for path in app.rglob("*") if not path.is_symlink()]
    assert paths
    assert [str(path) for path in (app, *paths) if path.stat().st_mode & 0o222] == []


def _it_holds_the_runtime_only(python: Path) -> None:
    expected = ["bqdump", "bqdump_claims", "click", "google.cloud.bigquery"]
    assert importable(python, expected) == expected
    assert importable(python, NOT_IN_THE_IMAGE) == []
    code = "from bqdump.render.job import workflow_source; print(workflow_source()[:1])"
    assert _output([python, "-I", "-c", code]) == "#\n"


def _every_module_has_bytecode(package: Path) -> None:
    sources = {path.relative_to(package).with_suffix("") for path in package.rglob("*.py")}
    compiled = {(path.parent.parent / path.name.split(".")[0]).relative_to(package) for path in package.rglob("*.pyc")}
    assert sources
    assert compiled == sources


def _it_exports(command: list[str | Path], buckets: Path) -> None:
    buckets.mkdir()
    with local_stack.running(root=buckets) as stack:
        anonymous = AnonymousCredentials()
        big = bigquery.Client("p-1", anonymous, client_options=ClientOptions(api_endpoint=stack.bigquery))
        big.create_dataset("d")
        big.query_and_wait("CREATE TABLE d.t AS SELECT 1 AS n")
        big.close()
        store = storage.Client("p-1", anonymous, client_options=ClientOptions(api_endpoint=stack.storage))
        store.create_bucket("exports")
        store.close()
        settings = {"PROJECT_ID": "p-1", "SOURCE_DATASET": "d", "DESTINATION_BUCKET": "exports"}
        _output(command, **settings, **stack.variables())
    assert (buckets / "exports/t/t_000000000000.csv").read_text() == "n\n1\n"


def test_the_dockerfile_has_no_lint() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    assert hadolint, "hadolint is missing: make check installs it"
    done = subprocess.run([hadolint, ROOT / "Dockerfile"], capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


def test_extras_are_installed_together_so_that_versions_that_differ_would_fail(tmp_path: Path) -> None:
    build = read((ROOT / "Dockerfile").read_text(), REQUIREMENTS="read otel")[0]
    (run,) = [step.rest for step in build.steps if step.word == "RUN" and "for extra in" in step.rest]
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python").chmod(0o755)
    output = _output(["sh", "-euc", run], PATH=f"{tmp_path}:{os.environ['PATH']}").splitlines()
    assert output[-1].partition("--no-deps ")[2] == "-r requirements/read.txt -r requirements/otel.txt"


def test_lock_files_agree_on_every_package() -> None:
    pins: dict[str, set[str]] = {}
    for name in EXTRAS:
        for pin in re.split(r"^(?=\S)", (ROOT / f"requirements/{name}.txt").read_text(), flags=re.MULTILINE):
            pins.setdefault(pin.partition("==")[0], set()).add(pin)
    assert {package for package, found in pins.items() if len(found) > 1} == set()


@pytest.mark.parametrize("requirements", EXTRAS)
def test_the_lock_of_an_image_names_every_dependency(requirements: str) -> None:
    assert sent(IGNORE, f"requirements/{requirements}.txt")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / f"requirements/{requirements}.txt").read_text().splitlines()
    locked = {line.split("==")[0] for line in lines if "==" in line}
    expected = project["dependencies"] + project["optional-dependencies"].get(requirements, [])
    assert {name.split(">=")[0] for name in expected} <= locked
