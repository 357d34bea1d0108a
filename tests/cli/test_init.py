"""bqdump init: what it writes is what bqdump reads."""

from __future__ import annotations

import stat
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bqdump.cli.main import start
from bqdump.cli.setup.init import init
from bqdump.core.settings.file import OF_ONE_RUN, settings_file
from bqdump.core.settings.resolve import file, resolve
from bqdump.core.settings.settings import SETTINGS, Setting, Settings
from bqdump.core.settings.target import Target

THREE = ["--project", "my-project", "--dataset", "sales", "--bucket", "my-exports"]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def loaded(name: str = "bqdump.toml") -> Settings:
    return resolve(file(tomllib.loads(Path(name).read_text()), name))


def test_the_file_makes_a_backup_that_keeps_its_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["init", *THREE, "--prefix", "a/b"]) == 0
    assert "--keep-daily 7, --keep-weekly 4, --keep-monthly 12" in capsys.readouterr().out
    assert loaded() == Settings(
        project="my-project", dataset="sales", target=Target("gs", "my-exports", "a/b/"),
        format="parquet", compression="zstd", path="{run}/{table}/{table}_*.{ext}", incremental=True,
        prune=True, keep_within=2 * 86_400, keep_daily=7, keep_weekly=4, keep_monthly=12,
    )  # fmt: skip
    assert len(Path("bqdump.toml").read_text().splitlines()) <= 25


def test_flags_change_and_add_settings() -> None:
    flags = ["--format", "csv", "--exclude", "tmp_*", "--keep-within", "60d", "--no-incremental", "--header"]
    assert start(["init", *THREE, *flags]) == 0
    settings = loaded()
    assert (settings.format, settings.compression, settings.incremental) == ("csv", "gzip", False)
    assert (settings.exclude, settings.header) == (("tmp_*",), True)
    assert (settings.keep_within, settings.keep_daily) == (60 * 86_400, 0)


@pytest.mark.parametrize("setting", [one for one in SETTINGS if one.name not in (*OF_ONE_RUN, "tables")])
def test_every_setting_has_a_flag(setting: Setting) -> None:
    names = [name for option in init.params for name in option.opts]
    assert setting.flag in names


@pytest.mark.parametrize(
    "flags", [["--path", "{table}/{table}_*.{ext}"], ["--path", "{table}/*.{ext}", "--format", "avro"]]
)
def test_a_path_without_runs_has_nothing_to_prune(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["init", *THREE, *flags]) == 0
    assert "Each run replaces the last one's files. To keep every run: --path '{run}/" in capsys.readouterr().out
    assert not loaded().prune


def test_required_settings_are_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_ID", "my-project")
    monkeypatch.setenv("DESTINATION_BUCKET", "my-exports")
    assert start(["init", "--dataset", "sales"]) == 0
    monkeypatch.delenv("PROJECT_ID")
    assert (loaded().project, str(loaded().target)) == ("my-project", "gs://my-exports/")


def test_missing_settings_are_asked_for_by_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["init", "--dataset", "sales", "-o", "my backup.toml"]) == 0
    output = capsys.readouterr().out
    assert "Set project and bucket in it." in output
    assert "bqdump run --config 'my backup.toml'" in output
    assert '# bucket = "my-exports"  # required; or DESTINATION_BUCKET' in Path("my backup.toml").read_text()
    assert start(["plan", "--config", "my backup.toml"]) == 2
    assert "missing" in capsys.readouterr().err


def test_a_target_stands_for_the_bucket() -> None:
    assert start(["init", "--project", "my-project", "--dataset", "sales", "--to", "gs://my-exports/nightly"]) == 0
    assert "bucket" not in Path("bqdump.toml").read_text()
    assert str(loaded().target) == "gs://my-exports/nightly/"


def test_a_file_that_is_there_stays(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bqdump.toml").write_text("# mine\n")
    assert start(["init", *THREE]) == 2
    assert "bqdump.toml: the file exists. Overwrite it with --force." in capsys.readouterr().err
    assert Path("bqdump.toml").read_text() == "# mine\n"
    assert start(["init", *THREE, "--force"]) == 0
    assert loaded().dataset == "sales"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--format", "xls"], "--format: invalid value 'xls'"),
        (["--compression", "deflate"], "'deflate' is not a codec of parquet"),
        (["--bucket", "gs://b"], "--bucket: invalid value 'gs://b'"),
        (["--project", ""], "--project: empty value"),
        (["--prefix", "../up"], "--prefix: invalid value '../up'"),
        (["--output", "no/such/folder.toml"], "no/such/folder.toml: No such file or directory"),
    ],
)
def test_answers_that_bqdump_would_refuse_are_refused(
    flags: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = dict(zip(THREE[::2], THREE[1::2], strict=True)) | {flags[0]: flags[1]}
    assert start(["init", *chain.from_iterable(options.items())]) == 2
    assert message in capsys.readouterr().err
    assert list(Path().iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert start(["init", *THREE, "-o", "file/bqdump.toml"]) == 2
    assert "file/bqdump.toml: Not a directory" in capsys.readouterr().err
    assert stat.S_ISREG((tmp_path / "file").stat().st_mode)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.dictionaries(TEXT, TEXT), st.lists(TEXT))
def test_any_value_comes_back_as_it_was(labels: dict[str, str], patterns: list[str]) -> None:
    text = "".join(patterns)
    chosen = {"labels": labels, "include": tuple(patterns), "project": text, "header": False, "concurrency": 7}
    assert tomllib.loads(settings_file(chosen)) == {**chosen, "include": patterns}
