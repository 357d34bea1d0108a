"""A walk as a vandal takes it: an export is damaged, or a setting changed, and then every command is tried.

Whatever the case: no stack trace, one error at most, what is published stays unless another export replaces it, and a
run that succeeds leaves an export that verifies. The export is in a folder, where a person can do all that; it is made
once, and each case gets a copy of it. That a bucket takes and refuses the same is proven by the contract of a store.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bqdump_local.stack import Stack
from integration.command import Called, call
from integration.stage import Stage

STATE = "_bqdump"
LOOKS = ("plan", "status", "runs", "verify", "report", "diff")
# No file may grow beyond so many bytes, as on a full disk. Compiled modules would be cut short, and stay in the cache.
FULL_DISK = """
import resource, sys
sys.dont_write_bytecode = True
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
"""
# The process is killed right after its first receipt.
KILLED = """
import os, signal
from bqdump.adapters.folder.store import FolderStore
def killed(write_note):
    async def killing(store, name, data, expect):
        generation = await write_note(store, name, data, expect)
        if "/receipts/" in name:
            os.kill(os.getpid(), signal.SIGKILL)
        return generation
    return killing
FolderStore.write_note = killed(FolderStore.write_note)
"""
MORE = {"report": ("--output", "page.html"), "diff": ("monday", "tuesday")}
Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def world(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A dataset of three tables, exported twice to the folder `export`; in `full`, a third run met a full disk."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.variables().items():
            patch.setenv(name, value)
        made = Stage(stack, tmp_path_factory.mktemp("vandal"))
        for number, table in enumerate(("items", "orders", "people"), 1):
            made.table(table, number)
        for run in ("monday", "tuesday"):
            done = process(made, "run", "--to", "export", "--run-id", run)
            assert done.returncode == 0, done.stdout
            made.table("people", 20_000)
        shutil.copytree(made.folder / "export", made.folder / "full")
        yield made
        made.close()


@pytest.fixture
def place(world: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An export of the case's own, in a working directory of its own with the settings in the environment."""
    for name, value in (world.variables | {"BQDUMP_TO": "export"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DESTINATION_BUCKET")
    monkeypatch.chdir(tmp_path)
    shutil.copytree(world.folder / "export", tmp_path / "export")
    return tmp_path / "export"


def process(
    world: Stage, *arguments: str, before: str = "", folder: Path | None = None, to: str = ""
) -> subprocess.CompletedProcess[str]:
    """The command as a process. before: statements to run first."""
    program = f"import sys; from bqdump.cli.main import start; {before}\nsys.exit(start(sys.argv[1:]))"
    variables = {**world.variables, "PATH": os.environ["PATH"], **({"BQDUMP_TO": to} if to else {})}
    del variables["DESTINATION_BUCKET"]
    return subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments], env=variables, cwd=folder or world.folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


def published(folder: Path) -> dict[str, bytes]:
    """The files of the export, and what names it."""
    paths = [path for path in folder.rglob("*") if path.is_file() and STATE not in path.parts]
    paths += [path for path in [folder / STATE / "latest.json", *(folder / STATE / "log").glob("*")] if path.exists()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.name[0] != "."}


def remove(*names: str) -> Damage:
    """Delete these files or folders."""

    def damage(folder: Path) -> None:
        for name in names:
            path = folder / name
            if not path.is_dir():
                path.unlink()
            # The storage may still carry out what a killed run has requested.
            while path.exists():
                shutil.rmtree(path, ignore_errors=True)

    return damage


def overwrite(name: str, data: bytes) -> Damage:
    """Give a file other content of the same size, or less."""

    def damage(folder: Path) -> None:
        (folder / name).write_bytes(data[: (folder / name).stat().st_size])

    return damage


def halve(folder: Path) -> None:
    """Delete every second file, wherever it is, but nothing that is hidden."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")[1::2]:
        path.unlink()


RUNS = f"{STATE}/runs"
DAMAGES: dict[str, Damage] = {
    "nothing": lambda folder: None,
    "deleted table": remove("orders"),
    "no log": remove(f"{STATE}/log"),
    "no documents": remove(STATE),
    "documents alone": remove("items", "orders", "people"),
    "half of the files": halve,
    "broken manifest": overwrite(f"{RUNS}/tuesday/manifest.json", b"{}"),
    "broken dataset.json": overwrite(f"{STATE}/dataset.json", b"[]"),
}
# Codes other than 0, by damage and command.
VERIFY = {
    "deleted table": 4, "documents alone": 4, "no log": 5, "no documents": 5, "half of the files": 4,
    "broken manifest": 4,
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_command_changes_a_damaged_export_and_the_next_run_repairs_it_or_names_what_it_cannot_read(
    place: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    DAMAGES[damage](place)
    before = published(place)
    for command in LOOKS:
        called = clean(call(capsys, command, *MORE.get(command, ())), most=2 if command == "runs" else 1)
        if command == "verify":
            assert called.code == VERIFY.get(damage, 0), (damage, called)
        assert published(place) == before
    called = clean(call(capsys, "run", "--run-id", "wednesday"))
    assert called.code == 0, called
    assert clean(call(capsys, "verify")).code == 0
    assert "20000,people-20000" in (place / "people/people_000000000000.csv").read_text()


SETTINGS: list[tuple[tuple[str, ...], int]] = [
    (("--prefix", "items"), 0), (("--path", "{run}/{table}_*.{ext}"), 0), (("--path", "{table}_*.{ext}"), 0),
    (("--format", "parquet"), 0), (("--compression", "gzip"), 0), (("--project", "somebody-else"), 5),
    (("--include", "items", "--keep-others"), 0), (("--exclude", "items", "--allow", "removed-tables"), 0),
    (("--prefix", "_bqdump"), 2), (("--snapshot-time", "2001-01-01T00:00:00Z"), 2), (("--to", "/dev/null/x"), 2),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"), SETTINGS, ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value)
)
def test_a_run_with_another_setting_leaves_a_valid_export(
    place: Path, arguments: tuple[str, ...], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = published(place)
    called = clean(call(capsys, "run", *(("--run-id", "wednesday") if "--run-id" not in arguments else ()), *arguments))
    assert called.code == code, called
    if code:
        assert published(place) == before
        assert called.errors
        assert clean(call(capsys, "verify")).code == 0
    else:
        assert clean(call(capsys, "verify", *(arguments if "--prefix" in arguments else ()))).code == 0


ACTS: dict[str, Damage] = {
    "nothing": lambda folder: None,
    "receipt": remove(f"{RUNS}/wednesday/receipts"),
    "staged files": remove(f"{RUNS}/wednesday/data"),
    "published table": remove("orders"),
    "plan": overwrite(f"{RUNS}/wednesday/plan.json", b"{"),
    "documents": remove(STATE),
}
RESUMED = {"staged files": 4, "plan": 4}


@pytest.mark.parametrize("act", ACTS)
def test_a_killed_run_is_resumed_after_the_vandal_has_acted(
    world: Stage, place: Path, act: str, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = process(
        world, "run", "--run-id", "wednesday", before=KILLED, folder=Path.cwd(), to=os.environ["BQDUMP_TO"]
    )
    assert killed.returncode == -signal.SIGKILL, killed.stdout
    ACTS[act](place)
    before = published(place)
    for command in ("status", "verify"):
        clean(call(capsys, command))
        assert published(place) == before
    resumed = clean(call(capsys, "run", "--run-id", "wednesday"))
    assert resumed.code == RESUMED.get(act, 0), (act, resumed)
    if resumed.code:
        assert published(place) == before
        assert resumed.errors
        # Another run is not in its way.
        assert clean(call(capsys, "run", "--run-id", "thursday")).code == 0
    assert clean(call(capsys, "verify")).code == 0
    assert "20000,people-20000" in (place / "people/people_000000000000.csv").read_text()


def test_a_run_that_meets_a_full_disk_publishes_nothing_and_can_be_resumed(
    world: Stage, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = world.folder / "full"
    before = published(folder)
    failed = process(world, "run", "--to", "full", "--run-id", "wednesday", before=FULL_DISK)
    assert failed.returncode not in (0, 1), failed.stdout
    assert "Traceback" not in failed.stdout
    assert "ExceptionGroup" not in failed.stdout
    assert published(folder) == before
    assert process(world, "verify", "--to", "full").returncode == 0
    # Space is there again, and nobody resumes it: the next run leaves nothing of it behind.
    assert process(world, "run", "--to", "full", "--run-id", "thursday").returncode == 0
    assert not [path for path in (folder / RUNS / "wednesday" / "data").rglob("*") if path.is_file()]
    resumed = process(world, "run", "--to", "full", "--run-id", "wednesday")
    assert (resumed.returncode, "run wednesday was not published" in resumed.stdout) == (0, True), resumed.stdout
    assert process(world, "verify", "--to", "full").returncode == 0


def clean(called: Called, most: int = 1) -> Called:
    """The same: whatever it is, it is no stack trace, and one sentence, or one for each of so many damaged runs."""
    text = called.out + called.err
    assert "Traceback" not in text, text
    assert "ExceptionGroup" not in text
    assert called.code in (0, 2, 3, 4, 5), called
    assert len(called.errors) <= most or called.code == 3, called.errors
    return called
