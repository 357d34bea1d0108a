"""The workflows: what their shell steps do, where the programs of a runner only write down their arguments."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from docs.walk import ROOT

FOLDER = ROOT / ".github/workflows"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yml"))}
JOBS = [(workflow, job) for workflow, content in WORKFLOWS.items() for job in content["jobs"]]
# A tag of the version that the tree has.
TAG = "v" + re.findall(r'^VERSION = "(.+)"$', (ROOT / "src/bqdump/core/version.py").read_text(), re.MULTILINE)[0]
# Each writes its arguments, and the answer that the step needs.
PROGRAM = """#!/bin/sh
printf '%s' "${0##*/}" >> "$ARGUMENTS"
printf ' [%s]' "$@" >> "$ARGUMENTS"
printf '\\n' >> "$ARGUMENTS"
case "${0##*/} $*" in
  "docker buildx build"*) echo '{"containerimage.digest": "sha256:built"}' > built.json ;;
  "docker buildx imagetools inspect"*) echo '{"digest": "sha256:index"}' ;;
esac
"""
PROGRAMS = ("make", "docker", "gh", "git", "bqdump-started")


class Done(NamedTuple):
    """What the steps of a job have started, and what they have left."""

    started: list[str]
    folder: Path
    output: str
    code: int


@pytest.fixture
def run(tmp_path: Path) -> Any:
    programs, work = tmp_path / "bin", tmp_path / "work"
    programs.mkdir()
    for name in PROGRAMS:
        (programs / name).write_text(PROGRAM)
        (programs / name).chmod(0o755)
    work.mkdir()
    for name in ("src/bqdump/core/version.py", "deploy/notes.py"):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, work / name)
    changelog = f"# Changelog\n\n## {TAG[1:]} (2026-12-02)\n\n- An addition.\n\n## 0.0.1 (2026-01-01)\n\n- Older.\n"
    (work / "CHANGELOG.md").write_text(changelog)

    def run(workflow: str, job: str, *, only: str = "", **variables: str) -> Done:
        content = WORKFLOWS[workflow]
        steps = [step for step in content["jobs"][job]["steps"] if "run" in step and only in step.get("name", "")]
        assert steps
        arguments, output = tmp_path / "arguments", tmp_path / "output"
        arguments.touch()
        environment = {
            "PATH": os.pathsep.join((str(programs), str(Path(sys.executable).parent), os.environ["PATH"])),
            "ARGUMENTS": str(arguments), "GITHUB_OUTPUT": str(output), "GITHUB_REF_NAME": TAG, "GITHUB_SHA": "c0ffee",
            "GITHUB_RUN_ID": "7", "RUNNER_TEMP": str(tmp_path), "IMAGE": "ghcr.io/owner/bqdump", **variables,
        }  # fmt: skip
        for step in steps:
            script = step["run"]
            assert "${{" not in script, "a value of an expression would be run as shell"
            done = subprocess.run(["bash", "-eo", "pipefail", "-c", script], cwd=work, env=environment, check=False)
            if done.returncode:
                break
        printed = output.read_text() if output.exists() else ""
        return Done(arguments.read_text().splitlines(), work, printed, done.returncode)

    return run


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_every_job_says_which_permissions_it_has_and_when_it_is_stopped(workflow: str, job: str) -> None:
    assert WORKFLOWS[workflow]["permissions"] == {}
    content = WORKFLOWS[workflow]["jobs"][job]
    assert content["permissions"]
    assert content["timeout-minutes"] <= 180


@pytest.mark.parametrize(("workflow", "job"), JOBS)
def test_every_action_is_pinned_by_commit_and_names_its_version(workflow: str, job: str) -> None:
    lines = re.findall(r"uses: (.+)", (FOLDER / f"{workflow}.yml").read_text())
    assert len(lines) >= len([step for step in WORKFLOWS[workflow]["jobs"][job]["steps"] if "uses" in step])
    for line in lines:
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_a_release_keeps_no_cache_and_no_credentials() -> None:
    text = (FOLDER / "release.yml").read_text()
    assert "cache" not in text
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    with_tokens = [job for job, content in WORKFLOWS["release"]["jobs"].items() if "id-token" in content["permissions"]]
    assert with_tokens == ["build", "index", "publish"]
    assert WORKFLOWS["release"]["jobs"]["publish"]["environment"] == {"name": "pypi"}


@pytest.mark.parametrize("job", ["test", "checks", "nightly", "engines"])
def test_ci_runs_targets_of_make(run: Any, job: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    started = run("ci", job).started
    assert started
    for line in started:
        program, *words = line.split()
        names = [word.strip("[]") for word in words if "=" not in word]
        assert program == "make"
        assert set(names) <= set(targets)
        assert names


def test_ci_covers_every_python_that_the_package_supports() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text()
    supported = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', pyproject)
    matrix = WORKFLOWS["ci"]["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"] == supported
    assert {name.partition("-")[0] for name in matrix["system"]} == {"ubuntu", "macos"}


@pytest.mark.parametrize(("tag", "code"), [(TAG, 0), ("v9.9.9", 1)])
def test_a_tag_that_is_not_the_version_releases_nothing(run: Any, tag: str, code: int) -> None:
    assert run("release", "build", only="The tag is the version", GITHUB_REF_NAME=tag).code == code


def test_the_notes_of_a_release_are_its_section_of_the_changelog(run: Any) -> None:
    done = run("release", "build", only="Notes of this version")
    assert (done.folder / "dist-notes.md").read_text() == "- An addition.\n"
    assert run("release", "build", only="Notes of this version", GITHUB_REF_NAME="v9.9.9").code == 1


def test_each_image_is_pushed_by_digest_with_its_sbom_and_provenance(run: Any) -> None:
    done = run("release", "image", ARCHITECTURE="arm64")
    assert done.code == 0
    (built,) = [line for line in done.started if line.startswith("docker [buildx] [build]")]
    for word in ("linux/arm64", "--sbom=true", "--provenance=mode=max", "REVISION=c0ffee", "REQUIREMENTS=runtime read"):
        assert f"[{word}]" in built
    assert "push-by-digest=true" in built
    assert (done.folder / "digests/arm64").read_text() == "sha256:built\n"


def test_the_index_names_the_image_of_each_architecture(run: Any, tmp_path: Path) -> None:
    (tmp_path / "work/digests").mkdir()
    for architecture in ("amd64", "arm64"):
        (tmp_path / f"work/digests/{architecture}").write_text(f"sha256:{architecture}\n")
    done = run("release", "index")
    created = done.started[0]
    image = "ghcr.io/owner/bqdump"
    assert created.endswith(f"[--tag] [{image}:{TAG[1:]}] [{image}@sha256:amd64] [{image}@sha256:arm64]")
    assert done.output == "digest=sha256:index\n"


def test_the_notes_are_a_draft_until_the_package_is_published(run: Any, tmp_path: Path) -> None:
    (tmp_path / "work/dist").mkdir()
    (tmp_path / "work/dist/bqdump.whl").touch()
    done = run("release", "draft")
    created = f"gh [release] [create] [{TAG}] [--draft] [--verify-tag] [--title] [{TAG}]"
    assert done.started == [f"{created} [--notes-file] [dist-notes.md] [dist/bqdump.whl]"]
    assert run("release", "announce").started[1:] == [f"gh [release] [edit] [{TAG}] [--draft=false]"]
    order = {job: content.get("needs", []) for job, content in WORKFLOWS["release"]["jobs"].items()}
    assert (order["publish"], order["announce"]) == ("draft", "publish")


@pytest.mark.parametrize(("code", "proposed"), [(0, True), (4, True), (2, False)])
def test_answers_of_the_services_are_proposed_also_if_they_differ(
    run: Any, tmp_path: Path, code: int, proposed: bool
) -> None:
    programs = tmp_path / "work/.venv/bin"
    programs.mkdir(parents=True)
    for name in ("bqdump", "python"):
        ending = code if name == "bqdump" else 0
        (programs / name).write_text(PROGRAM + f"exit {ending}\n")
        (programs / name).chmod(0o755)
    done = run("check-service", "check", PROJECT="my project; rm -rf /", BUCKET="my-scratch")
    assert any(line.startswith("bqdump [check-service] [--project] [my project; rm -rf /]") for line in done.started)
    assert any(line.startswith("gh [pr] [create]") for line in done.started) == proposed


LINTERS = (["actionlint"], ["zizmor", "--quiet", "--offline", "--persona", "pedantic", ".github"])


@pytest.mark.parametrize("command", LINTERS, ids=["actionlint", "zizmor"])
def test_the_linters_of_workflows_find_nothing(command: list[str]) -> None:
    program = str(Path(sys.executable).parent / command[0])
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
