"""bqdump init: what it writes is what bqdump reads."""

from __future__ import annotations

import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.cli.main import start
from bqdump.core.settings.file import settings_file
from bqdump.core.settings.resolve import file, resolve
from bqdump.core.settings.settings import OF_ONE_RUN, SETTINGS, Settings
from bqdump.core.settings.target import Target
from bqdump.core.wording import fill
from integration.terminal import on_terminal

THREE = ["--project", "my-project", "--dataset", "sales", "--bucket", "my-exports"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(name: str = "bqdump.toml") -> Settings:
    return resolve(file(tomllib.loads(Path(name).read_text()), name))


def test_flags_alone_are_enough(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--format", "parquet", "--compression", "zstd", "--prefix", "a/b", "--keep"]
    assert start(["init", *THREE, *flags]) == 0
    assert "bqdump plan" in capsys.readouterr().out
    assert loaded() == Settings(
        project="my-project", dataset="sales", target=Target("gs", "my-exports", "a/b/"),
        format="parquet", compression="zstd",
        path="{run}/{table}/{table}_*.{ext}",
    )  # fmt: skip


def test_every_setting_is_in_the_file_with_its_help_and_its_default() -> None:
    assert start(["init", *THREE, "--quiet"]) == 0
    text = Path("bqdump.toml").read_text()
    assert not re.search("run_id|snapshot_time", text)
    for setting in SETTINGS:
        if setting.name in OF_ONE_RUN:
            continue
        assert f"# {fill(setting.help)}\n" in text
        assert re.search(rf"^(# )?{setting.name} = ", text, re.MULTILINE)
    in_force = tomllib.loads(re.sub(r"^# (?=[a-z_]+ = )", "", text, flags=re.MULTILINE))
    assert resolve(file(in_force, "bqdump.toml")) == loaded()


def test_a_file_that_is_there_stays(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bqdump.toml").write_text("# mine\n")
    assert start(["init", *THREE]) == 2
    assert "bqdump.toml: the file exists. Overwrite it with --force." in capsys.readouterr().err
    assert Path("bqdump.toml").read_text() == "# mine\n"
    assert start(["init", *THREE, "--force"]) == 0
    assert loaded().dataset == "sales"


def test_without_a_terminal_and_without_flags_it_names_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["init", "--dataset", "sales"]) == 2
    assert "missing: --project and --bucket, and standard input is not a terminal" in capsys.readouterr().err
    assert not Path("bqdump.toml").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format", "xls"], "--format: invalid value 'xls'"),
        (["--compression", "zstd"], "'zstd' is not a codec of csv"),
        (["--bucket", "gs://b"], "--bucket: invalid value 'gs://b'"),
        (["--project", ""], "--project: empty value"),
        (["--prefix", "../up"], "--prefix: invalid value '../up'"),
        (["--output", "no/such/folder.toml"], "no/such/folder.toml: No such file or directory"),
    ],
)
def test_answers_that_bqdump_would_refuse_are_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(["init", *THREE, *flags]) == 2
    assert message in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_wrong_flag_is_reported_before_any_prompt(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["init", "--format", "xls"]) == 2
    assert "--format: invalid value 'xls': expected csv" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert start(["init", *THREE, "-o", "file/bqdump.toml"]) == 2
    assert "file/bqdump.toml: Not a directory" in capsys.readouterr().err
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)


def test_on_a_terminal_it_prompts_until_the_value_is_valid(tmp_path: Path) -> None:
    # (what ends the question, the answer)
    dialogue = [
        ("Project of the dataset", "my-project"), ("Dataset to export", "my sales"),
        ("invalid value", "sales"), ("without gs://", ""), ("needs its own", "nightly"),
        ("[csv]", "parquet"), ("[none]", "deflate"), ("takes", "zstd"), ("Keep the files of every run", "y"),
    ]  # fmt: skip
    seen = 0

    def answer(_: subprocess.Popen[bytes], written: str) -> str | None:
        nonlocal seen
        requested = written.find(dialogue[0][0], seen) if dialogue else -1
        if requested < 0 or not written.endswith(": "):
            return None
        seen = len(written)
        return dialogue.pop(0)[1] + "\n"

    session = on_terminal(
        [sys.executable, "-m", "bqdump", "init"], {"TERM": "xterm", "DESTINATION_BUCKET": "my-exports"}, cwd=tmp_path,
        answer=answer,
    )  # fmt: skip
    assert session.code == 0, session.raw
    assert dialogue == []
    settings = loaded()
    assert (settings.project, settings.dataset) == ("my-project", "sales")
    assert (str(settings.target), settings.format, settings.compression) == (
        "gs://my-exports/nightly/",
        "parquet",
        "zstd",
    )
    assert settings.template.keeps


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(TEXT, TEXT), st.lists(TEXT))
def test_any_value_comes_back_as_it_was(labels: dict[str, str], patterns: list[str]) -> None:
    text = "".join(patterns)
    chosen = {"labels": labels, "include": tuple(patterns), "project": text, "header": False, "concurrency": 7}
    assert tomllib.loads(settings_file(chosen)) == {**chosen, "include": patterns}
