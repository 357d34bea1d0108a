"""The command line: help, guesses, versions, and the exit code of every kind of end."""

from __future__ import annotations

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import click
import pytest

from bqdump import __version__
from bqdump.cli import command, process
from bqdump.cli.main import COMMANDS, bqdump, start
from bqdump.cli.options import OFTEN, warn_of_unknown
from bqdump.core.errors import (
    BqdumpError,
    DeniedError,
    DocumentError,
    QuotaError,
    TablesFailedError,
    UsageError,
    first_of,
)
from bqdump.core.settings.settings import BY_NAME, REQUIRED, RETENTION, RULES, SETTINGS

SETTINGS_COMMANDS = ("run", "plan", "status")
OF_THE_EXPORT = (
    "--dataset: unknown option. "
    "The dataset is that of the export; of several, one is named by its folder: --prefix DATASET."
)
COMPLETE = ["--project", "proj", "--dataset", "data", "--bucket", "target"]


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every command, by the words that call it."""
    context = click.Context(group)
    found: list[tuple[str, ...]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        words = (*path, name)
        found += [words, *leaves(command, words)] if isinstance(command, click.Group) else [words]
    return found


@pytest.mark.parametrize("words", leaves(bqdump), ids=" ".join)
def test_every_command_has_a_help_of_its_own_with_examples(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert start([*words, "-h"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"Usage: bqdump {' '.join(words)}")
    assert "Examples:" in shown
    assert f"bqdump {words[0]}" in shown.partition("Examples:")[2]


def test_the_help_names_every_command_and_three_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command}" in shown for command in COMMANDS)
    assert "bqdump init --project my-project --dataset sales --bucket my-exports" in shown


@pytest.mark.parametrize("command", ["run", "plan", "doctor"])
def test_every_setting_of_a_plan_is_a_flag_and_the_first_ones_are_described(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    start([command, "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "--keep-… N Rules of retention, such as --keep-daily 7: bqdump help retention" in shown
    for setting in SETTINGS:
        assert setting.flag in shown or setting.name in RULES
        described = setting.name in (*REQUIRED, *OFTEN, "to") and setting.name not in RULES
        assert (f"[{setting.env}]" in shown) == described


TWO_SCREENS, WIDTH = 2 * 40, 100


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("run", ["--project", "--dataset", "--bucket", "--to"]),
        ("plan", ["--project", "--dataset", "--bucket", "--to"]),
        ("doctor", ["--project", "--dataset", "--bucket", "--to"]), ("restore", ["--into", "--bucket", "--to"]),
        ("drill", ["--project", "--bucket", "--to"]), ("prune", ["--bucket", "--to"]),
    ],
)  # fmt: skip
def test_the_help_fits_two_screens_and_begins_with_what_is_required(
    command: str, needed: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    assert start([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) <= TWO_SCREENS
    assert max(map(len, shown.splitlines())) <= WIDTH
    first, _, rest = re.split(r"\nRequired[^\n]*:\n", shown, maxsplit=1)[1].partition("\nOptions:\n")
    assert re.search(r"\n(?:Required|Also required), one of:\n +--bucket .*\n(?: {8}.*\n)* +--to ", shown)
    flags = [line.split()[0] for line in first.splitlines() if line.lstrip().startswith("--")]
    assert flags[: len(needed)] == needed
    assert all(re.search(rf"{flag} \S+ +\w+", first) for flag in flags)
    assert ("\n  --keep-… N " in rest) == (command in ("run", "plan", "doctor", "prune"))
    assert "--keep-daily N" not in rest
    assert "\nMore settings, described by bqdump help settings:\n" in rest


@pytest.mark.parametrize("command", ["status", "runs", "diff", "report", "ui", "verify"])
def test_the_help_of_a_command_lists_only_what_it_uses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    start([command, "--help"])
    shown = capsys.readouterr().out
    assert "--delimiter" not in shown
    assert len(shown.splitlines()) < 45
    assert "described by bqdump help settings" in shown
    assert start([command, "--delimiter", ";"]) == 2
    assert "bqdump: --delimiter: unknown option." in capsys.readouterr().err


def test_help_shows_every_setting_with_variable_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["help", "settings"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for setting in SETTINGS:
        assert f"{setting.flag} {setting.metavar}" in shown
        assert f"[{setting.env}" in shown
    assert "[BQDUMP_FORMAT; default: csv]" in shown
    # Zero is no limit, or never: the description says so.
    assert "default: 0]" not in shown
    assert start(["status", "--help"]) == 0
    named = capsys.readouterr().out.partition("described by bqdump help settings:")[2]
    options = [option.strip() for option in named.split(",")]
    assert len(options) > 5
    assert all(option in shown for option in options)


@pytest.mark.parametrize(
    ("topic", "named"),
    [
        ("retention", [BY_NAME[name].flag for name in RETENTION]),
        ("formats", ["csv", "json", "avro", "parquet", "zstd", "Cannot hold INTERVAL, RANGE"]),
        ("exit-codes", ["130, 143", "quota exceeded"]),
    ],
)
def test_help_has_topics(topic: str, named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["help", topic]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert [name for name in named if name not in shown] == []
    assert start([topic]) == 2
    assert f"Did you mean help {topic}?" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["run"], ["local", "up"], []])
def test_help_shows_what_the_flag_shows(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert start([*words, "--help"]) == 0
    required = capsys.readouterr().out
    assert start(["help", *words]) == 0
    assert capsys.readouterr().out == required


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["rum"], "Did you mean `bqdump help run`?"),
        (["run", "up"], "`bqdump help` lists all commands."),
        (["local", "upp"], "Did you mean `bqdump help local up`?"),
    ],
)
def test_the_help_of_an_unknown_command_is_refused(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(["help", *words]) == 2
    assert f"bqdump: {' '.join(words)}: unknown command. {hint}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("output", "meant"), [("rnu", "run"), ("plans", "plan"), ("statsu", "status"), ("locale", "local")]
)
def test_a_misspelt_command_gets_a_guess(output: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start([output]) == 2
    assert capsys.readouterr().err == f"bqdump: {output}: unknown command. Did you mean {meant}?\n"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("query", "sql"),
        ("cost", "plan"),
        ("stats", "runs --storage"),
        ("growth", "runs --growth"),
        ("deploy", "render job"),
        ("terraform", "render terraform"),
        ("cron", "render scheduler"),
        ("rm", "prune"),
        ("find", "ls"),
        ("logs", "status"),
        ("settings", "help settings"),
        ("login", "gcloud auth application-default login"),
    ],
)
def test_a_command_of_another_tool_is_answered_with_ours(
    typed: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start([typed]) == 2
    assert capsys.readouterr().err == f"bqdump: {typed}: unknown command. Did you mean {meant}?\n"


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["restore", "-l"], "-l: unknown option. `bqdump ls` lists what a run holds."),
        (["init", "--repo", "gs://b"], "--repo: unknown option. Did you mean --to?"),
        (["run", "--table-name", "x"], "--table-name: unknown option. Did you mean --include?"),
        (
            ["copy", "--from", "gs://b"],
            "--from: unknown option. What is copied is named as in every command, with --bucket, --prefix or --to.",
        ),
        (["run", "--mask", "x"], "--mask: unknown option. Masks are set in bqdump.toml: [tables.NAME] with masks."),
        (["restore", "--source"], "--source: unknown option. It is an option of bqdump verify."),
        (["prune", "--replace"], "--replace: unknown option. It is an option of bqdump restore."),
        *(([verb, "--dataset", "x"], OF_THE_EXPORT) for verb in ("drill", "status", "copy", "erase")),
        (["restore", "--dataset", "x"], "--dataset: unknown option. Did you mean --into?"),
        (["status", "--zzz"], "--zzz: unknown option. `bqdump status --help` shows what is possible."),
        (
            ["verify", "--format", "csv"],
            "--format: unknown option. It is an option of bqdump init, bqdump doctor, bqdump plan and bqdump run.",
        ),
        (["init", "--json"], "--json: unknown option. `bqdump init --help` shows what is possible."),
    ],
)
def test_a_flag_of_other_commands_is_answered_with_their_names(
    arguments: list[str], fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(arguments) == 2
    assert capsys.readouterr().err == f"bqdump: {fix}\n"


FLAG = " A setting is given with its flag, such as --dataset sales, and a value with a space in quotes."


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("plan --projct x", "--projct: unknown option. Did you mean --project?"),
        ("plan -json", "-json: unknown option. Did you mean --json?"),
        ("plan -include=flights", "-include: unknown option. Did you mean --include?"),
        ("plan –-include flights", "got unexpected extra arguments (–-include flights). Did you mean --include?"),
        ("plan —include flights", "got unexpected extra arguments (—include flights). Did you mean --include?"),
        ("plan include=flights", "got unexpected extra argument (include=flights). Did you mean --include?"),
        ("plan --max-bytes-billed 10 GB", "got unexpected extra argument (GB)." + FLAG),
        ("drill --tables flights", "--tables: 'flights' is not a whole number. Tables are chosen with --include."),
        ("plan --project=", "--project: empty value. Leave it out, or give it a value. Perhaps a variable is not set."),
        ("runs --bucket Exports", "--bucket: 'Exports' is not a bucket name: expected 3 to 222 lowercase letters, …"),
        (
            "restore --to . --into p.a/b",
            "--into: invalid value 'p.a/b': expected a dataset id: letters, digits and _. …",
        ),
        ("demo --folder /dev/null/x", "/dev/null/x: Not a directory. Choose another --folder."),
    ],
)
def test_a_misspelt_flag_gets_a_guess(typed: str, answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(typed.split()) == 2
    shown = capsys.readouterr().err
    first, cut, _ = answer.partition("…")
    assert shown.startswith(f"bqdump: {first}")
    assert cut or shown[8 + len(answer) :] in ("\n", f" `bqdump {typed.split()[0]} --help` shows what is possible.\n")
    assert shown.count("\n") == 1


def test_where_there_is_no_settings_file_the_command_that_writes_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert start(["runs"]) == 2
    missing = "bqdump: missing: --bucket (DESTINATION_BUCKET)."
    expected = f"{missing} There is no bqdump.toml in this folder. To write one: bqdump init\n"
    assert capsys.readouterr().err == expected
    for text in ('format = "csv"', ""):
        (tmp_path / "bqdump.toml").write_text(text)
        assert start(["runs"]) == 2
        assert capsys.readouterr().err == f"{missing}\n"


NAME = "expected up to 100 letters, digits, - and _, the first a letter or digit"
PARSED = [
    (["plan", "--tasks", "many"], "--tasks: 'many' is not a whole number."),
    (["plan", "--tasks", "0"], "--tasks: 0 is not a whole number from 1 to 10000."),
    (["render", "job"], "--region: missing: region of the job, e.g. europe-west1."),
    (["status", "a", "b"], "got unexpected extra argument (b)."),
    (["restore", "r1", "flights"], "got unexpected extra argument (flights). Tables are chosen with --include."),
    (["status", "../x"], f"RUN: '../x' is not the name of a run: {NAME}. A place is named with --to ../x."),
    (["diff", "a\nb"], f"BEFORE: 'a\\nb' is not the name of a run: {NAME}."),
    (["completion", "tcsh"], "SHELL: 'tcsh' is not one of 'bash', 'zsh', 'fish'."),
]


@pytest.mark.parametrize("name", ["v", "q"])
def test_a_table_may_have_the_name_of_a_short_option(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["run", *COMPLETE, "--exclude", name, "--format", "none"]) == 2
    assert "--format" in capsys.readouterr().err


def test_an_option_without_its_value_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["plan", "--tasks"]) == 2
    assert capsys.readouterr().err == "bqdump: --tasks: requires an argument.\n"


@pytest.mark.parametrize(("words", "reported"), PARSED)
def test_errors_of_the_parser_are_one_sentence_like_all_others(
    words: list[str], reported: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(words) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"bqdump: {reported} `bqdump {words[0]}")
    assert shown.endswith("--help` shows what is possible.\n")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    "typed", ["doctor # check permissions", "drill # prove it", "runs #", "runs monday # list", "plan #what it does"]
)
def test_a_comment_that_zsh_passes_on_is_called_a_comment(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(typed.split()) == 2
    shown = capsys.readouterr().err
    assert (
        "zsh takes no '#' at its prompt as a comment: leave it out, or run first: setopt interactive_comments" in shown
    )
    assert shown.count("\n") == 1


@pytest.mark.parametrize("command", ["ui", "status", "sql", "runs"])
@pytest.mark.parametrize("below", ["", "x"])
def test_a_file_in_the_place_of_the_folder_is_named(
    command: str, below: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert start([command, "--to", str(tmp_path / "file" / below)]) == 2
    expected = f"bqdump: {tmp_path / 'file'}: not a folder. Name the folder of an export, or a new one.\n"
    assert capsys.readouterr().err == expected


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["--version"]) == 0
    assert capsys.readouterr().out == f"bqdump {__version__}\n"


def test_the_version_names_the_commit_that_an_image_was_built_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "REVISION").write_text("0123abc\n")
    monkeypatch.setattr(process, "REVISION", str(tmp_path / "REVISION"))
    assert start(["--version"]) == 0
    assert capsys.readouterr().out == f"bqdump {__version__} (0123abc)\n"


def test_the_version_of_a_process_needs_no_import(tmp_path: Path) -> None:
    # A package that cannot be imported stands in the way of the real one.
    (tmp_path / "click.py").write_text("raise RuntimeError('imported')\n")
    done = subprocess.run(
        [sys.executable, "-m", "bqdump", "--version"], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == (f"bqdump {__version__}\n", "")


@pytest.mark.parametrize("command", SETTINGS_COMMANDS)
def test_a_missing_setting_ends_with_2_and_one_sentence(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start([command]) == 2
    shown = capsys.readouterr()
    assert "--bucket (DESTINATION_BUCKET)" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err


BAD = {
    "a template without a star": (["--path", "{table}.csv"], "--path '{table}.csv': expected exactly one *"),
    "a codec of another format": (
        ["--compression", "zstd"],
        "--compression: 'zstd' is not a codec of csv. Expected none or gzip.",
    ),
    "an unknown format": (["--format", "xls"], "--format: invalid value 'xls': expected csv"),
    "an empty setting": (["--max-bytes-billed", ""], "--max-bytes-billed: empty value"),
    "a file of names that is missing": (
        ["--tables-from", "none"],
        "Name a file with one table or pattern a line, or -",
    ),
    "a place that is named twice": (["--bucket", "b"], "--bucket: was given twice. Write one of them."),
    "a run id with other characters": (["--run-id", "a/b"], "--run-id: invalid value 'a/b'"),
    "a number that is none": (["--concurrency", "many"], "--concurrency: invalid value 'many'"),
    "a missing file of settings": (["--config", "none.toml"], "none.toml: No such file"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_setting_ends_with_2_and_names_itself(bad: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, output = BAD[bad]
    assert start(["plan", *COMPLETE, *arguments]) == 2
    assert output in capsys.readouterr().err


def test_only_where_there_is_no_file_of_settings_one_is_to_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert start(["plan", "--config", "none.toml"]) == 2
    assert "none.toml: No such file or directory. Write one: bqdump init" in capsys.readouterr().err
    assert start(["plan", "--config", str(tmp_path)]) == 2
    assert capsys.readouterr().err.endswith(f"{tmp_path}: Is a directory. Name a file of settings.\n")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("format = csv\n", 'Write text in quotes, such as format = "csv".'),
        ('format = "csv\n', 'Close the quotes in the same line, such as format = "csv".'),
        ('format = "csv"\nformat = "avro"\n', "Remove one of the two lines that set it."),
        ("format: csv\n", 'Write each setting as format = "csv".'),
        ('{"format": "csv"}\n', 'Write each setting as format = "csv".'),
        ("[retension]\nkeep_daily = 3\n", "unknown setting 'retension'. Did you mean [retention]?"),
        ("[bqdump]\n", "Settings are written without a section, except for [retention] and [tables.NAME]."),
    ],
)
def test_a_mistake_in_the_file_has_a_fix(
    text: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bqdump.toml").write_text(text)
    assert start(["plan"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("bqdump: bqdump.toml: ")
    assert shown.endswith(f"{hint}\n")


def test_bad_toml_names_file_and_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bqdump.toml").write_text('project = "p"\nbucket = \n')
    assert start(["plan"]) == 2
    shown = capsys.readouterr().err
    assert "bqdump.toml: invalid TOML" in shown
    assert "line 2" in shown


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('run_id = "nightly"', "every later run would end at once, with nothing exported"),
        ('snapshot_time = "2026-01-31T03:00:00Z"', "every later run would export the same old data again"),
        ("snapshot_time = 2026-01-31T03:00:00Z", "every later run would export the same old data again"),
    ],
)
@pytest.mark.parametrize("command", ["run", "plan", "status"])
def test_what_belongs_to_a_single_run_is_refused_in_the_file(
    command: str, line: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bqdump.toml").write_text(line + "\n")
    assert start([command, "--bucket", "target"]) == 2
    shown = capsys.readouterr()
    name = line.partition(" ")[0]
    flag, variable = f"--{name.replace('_', '-')}", f"BQDUMP_{name.upper()}"
    for words in (f"bqdump.toml: {name}", why, flag, variable):
        assert words in shown.out + shown.err
    assert (shown.out + shown.err).count("\n") == 1


CHOOSING = (
    *(("restore", f"BQDUMP_RESTORE_{name}") for name in ("PARTITIONS", "INCLUDE", "EXCLUDE", "AS_OF", "TABLES_FROM")),
    *(("drill", f"BQDUMP_DRILL_{name}") for name in ("INCLUDE", "AS_OF")),
    *(("prune", f"BQDUMP_{name}") for name in ("KEEP_LAST", "KEEP_TAG", "KEEP_WITHIN", "TRUST")),
    *(("verify", f"BQDUMP_{name}") for name in ("TRUST", "NEWEST_WITHIN", "MAX_BYTES_BILLED")),
    ("run", "BQDUMP_SIGN"),
)


@pytest.mark.parametrize(("command", "variable"), CHOOSING)
def test_an_empty_variable_does_not_stand_for_everything(
    command: str, variable: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, "")
    into = ["--into", "restored"] if command == "restore" else []
    assert start([command, *(COMPLETE if command == "run" else ["--to", "./none"]), *into]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"bqdump: {variable}: empty value. Leave it out, or give it a value")
    assert shown.count("\n") == 1


def test_another_empty_variable_counts_as_not_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("BQDUMP_RESTORE_INTO", "BQDUMP_PREFIX", "BQDUMP_INCLUDE", "BQDUMP_NOTIFY"):
        monkeypatch.setenv(variable, "")
    assert start(["restore", "--to", "./none", "--into", "restored", "--via", "gs://bucket"]) != 2
    assert "empty" not in capsys.readouterr().err


def test_an_empty_run_id_in_the_file_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bqdump.toml").write_text('run_id = ""\nsnapshot_time = ""\nto = "./none"\n')
    assert start(["status"]) == 5
    assert capsys.readouterr().err.startswith("bqdump: cannot find ./none: there is no such folder.")


def test_an_unknown_setting_in_the_file_gets_a_guess(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bqdump.toml").write_text('projekt = "p"\n')
    assert start(["plan"]) == 2
    assert "unknown setting 'projekt'. Did you mean 'project'?" in capsys.readouterr().err


def test_an_unknown_variable_is_reported_with_a_suggestion(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name in ("BQDUMP_FORMT", "BQDUMP_QUUX", "BQDUMP_PREFIX", "BQDUMP_DEBUG", "BQDUMP_SERVICE_HOST", "BQDUMP_PORT",
                 "BQDUMP_PORT_80_TCP"):  # fmt: skip
        monkeypatch.setenv(name, "x")
    (tmp_path / "bqdump.toml").write_text("format = 7\n")
    assert start(["plan", *COMPLETE]) == 2
    warnings = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert [line.partition("warning: ")[2] for line in warnings] == [
        "unknown setting BQDUMP_FORMT; did you mean BQDUMP_FORMAT?",
        "unknown setting BQDUMP_QUUX",
    ]


def test_every_documented_variable_is_known(caplog: pytest.LogCaptureFixture) -> None:
    root = Path(__file__).parents[2]
    deployed = [path for path in root.glob("deploy/**/*.*") if "__pycache__" not in path.parts]
    pages = [root / "README.md", root / "SECURITY.md", *root.glob("docs/*.md"), *deployed]
    named = {name for page in pages for name in re.findall(r"BQDUMP_[A-Z_]*[A-Z]", page.read_text())}
    assert "BQDUMP_NOTIFY_SECRET" in named
    warn_of_unknown(dict.fromkeys(named, "x"))
    assert [record.getMessage() for record in caplog.records] == []


def test_tasks_that_cannot_agree_on_a_run_end_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "0")
    monkeypatch.setenv("JOB_COMPLETIONS", "3")
    assert start(["run", *COMPLETE]) == 2
    assert "BQDUMP_RUN_ID" in capsys.readouterr().err


ENDS: list[tuple[BaseException, int]] = [
    (UsageError("read", "--x", "wrong"), 2),
    (TablesFailedError("publish", "run r", "1 of 2 tables failed"), 3),
    (DocumentError("read", "plan.json", "it is broken"), 4),
    (DeniedError("read", "gs://b", "a right is missing"), 5),
    (QuotaError("export", "table t", "used up"), 6),
    (BqdumpError("do", "it", "no"), 1),
    (RuntimeError("surprise"), 1),
    (KeyboardInterrupt(), 130),
    (ExceptionGroup("2 errors", [ExceptionGroup("one", [DeniedError("read", "gs://b", "no")]), ValueError("x")]), 5),
    (ExceptionGroup("1 error", [OSError("disk full")]), 1),
]


@pytest.mark.parametrize(("error", "code"), ENDS, ids=lambda value: type(value).__name__)
def test_every_kind_of_end_has_its_exit_code(
    error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> NoReturn:
        raise error

    monkeypatch.setattr("bqdump.cli.commands.plan.load_settings", fail)
    assert start(["plan", *COMPLETE]) == code
    shown = capsys.readouterr().err
    assert "Traceback" not in shown
    assert str(first_of(error)) in shown
    assert "ExceptionGroup" not in shown


def test_an_unexpected_error_requests_a_bug_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> NoReturn:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("bqdump.cli.commands.plan.load_settings", fail)
    assert start(["plan"]) == 1
    assert "unexpected ZeroDivisionError: oops. This is a bug" in capsys.readouterr().err
    monkeypatch.setenv("BQDUMP_DEBUG", "1")
    assert start(["plan"]) == 1
    assert "Traceback" in capsys.readouterr().err


FORMATS = [
    ([], {}, False),
    (["--log-format", "json"], {}, True),
    ([], {"BQDUMP_LOG_FORMAT": "json"}, True),
    (["--log-format", "text"], {"BQDUMP_LOG_FORMAT": "json"}, False),
]


@pytest.mark.parametrize(("arguments", "environ", "as_json"), FORMATS)
@pytest.mark.parametrize("command", ["plan", "status"])
def test_the_log_format_is_that_of_errors_too(
    command: str,
    arguments: list[str],
    environ: dict[str, str],
    as_json: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert start([command, *arguments]) == 2
    shown = capsys.readouterr().err
    if as_json:
        assert json.loads(shown)["severity"] == "ERROR"
    else:
        assert shown.startswith("bqdump: missing: ")


@pytest.mark.parametrize(
    ("arguments", "levels"),
    [
        (["run"], ("INFO", "NOTSET")),
        (["run", "-q"], ("WARNING", "NOTSET")),
        (["run", "-v"], ("DEBUG", "NOTSET")),
        (["run", "-vv"], ("DEBUG", "DEBUG")),
        (["status"], ("WARNING", "NOTSET")),
        (["status", "-v"], ("DEBUG", "NOTSET")),
    ],
)
def test_verbose_and_quiet_choose_what_is_logged(arguments: list[str], levels: tuple[str, str]) -> None:
    assert start(arguments) == 2
    assert tuple(logging.getLevelName(logging.getLogger(name).level) for name in ("bqdump", "google")) == levels
    start(["--help"])
    assert logging.getLogger("google").level == logging.NOTSET


def test_an_unknown_log_format_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["status", "--log-format", "xml"]) == 2
    assert "--log-format" in capsys.readouterr().err


def _helps() -> Iterator[tuple[str, str]]:
    """Every command with its help."""
    waiting: list[tuple[str, click.Command]] = [(name, command(name)) for name in COMMANDS]
    for name, found in waiting:
        yield name, click.Context(found, info_name=f"bqdump {name}", help_option_names=["-h", "--help"]).get_help()
        if isinstance(found, click.Group):
            waiting += [(f"{name} {below}", each) for below, each in found.commands.items()]


def test_no_help_is_cut_or_names_a_value_by_its_type_in_python() -> None:
    helps = list(_helps())
    assert len(helps) > 30
    for name, text in helps:
        assert "..." not in text.partition("\n\n")[2], name
        assert "INTEGER" not in text, name
        assert "{setting:" not in text, name
        assert not re.search(r"^ +bqdump .* # ", text, re.MULTILINE), name
        assert not re.search(r"--(?!reason)[a-z-]+ TEXT", text), name


def test_the_default_of_a_size_has_a_unit(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["help", "settings"]) == 0
    assert "default: 256MB]" in " ".join(capsys.readouterr().out.split())
