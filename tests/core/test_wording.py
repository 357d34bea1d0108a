"""Messages name settings and commands in the words of each front end."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import pytest

import bqdump
from bqdump.cli import command
from bqdump.cli.errors import Flags
from bqdump.core.errors import BqdumpError, UsageError
from bqdump.core.wording import Commands, fill

MESSAGES = [
    ("Leave it out with {setting:exclude}.", "Leave it out with exclude.", "Leave it out with --exclude."),
    ("Use {setting:allow=a,b-c}.", "Use allow='a,b-c'.", "Use --allow a,b-c."),
    ("Use {setting:replace=True}.", "Use replace=True.", "Use --replace."),
    ("Set {setting:keep_others}.", "Set keep_others.", "Set --keep-others."),
    ("missing: {required:dataset}.", "missing: dataset.", "missing: --dataset (SOURCE_DATASET)."),
    ("Start one: {call:run}", "Start one: bqdump.run()", "Start one: bqdump run"),
    (
        "{call:run run_id=r-1 format=avro}",
        "bqdump.run(run_id='r-1', format='avro')",
        "bqdump run --run-id r-1 --format avro",
    ),
    (
        "{call:render.iam region=R append_only} prints it.",
        "`bqdump render iam --region R --append-only` prints it.",
        "`bqdump render iam --region R --append-only` prints it.",
    ),
    ("Put {run} into {setting:path}: {table}", "Put {run} into path: {table}", "Put {run} into --path: {table}"),
    ("{setting:} {call} {other:x} }{", "{setting:} {call} {other:x} }{", "{setting:} {call} {other:x} }{"),
]


@pytest.mark.parametrize(("message", "python", "command_line"), MESSAGES)
def test_placeholders_are_filled_in_the_words_of_a_front_end(message: str, python: str, command_line: str) -> None:
    assert fill(message) == python
    assert fill(message, Flags({}, {})) == command_line


def test_an_error_names_the_setting_as_it_was_given() -> None:
    error = UsageError("plan", "'x*'", "matches no table", "Remove {setting:include}.", setting="include")
    assert str(error) == "include 'x*': matches no table. Remove include."
    assert error.sentence(Flags({}, {})) == "--include 'x*': matches no table. Remove --include."
    variable = Flags({"include": "BQDUMP_INCLUDE"}, {})
    assert error.sentence(variable) == "BQDUMP_INCLUDE 'x*': matches no table. Remove --include."
    error.place = "bqdump.toml: include"
    assert str(error) == "bqdump.toml: include 'x*': matches no table. Remove include."


def test_other_errors_say_what_failed() -> None:
    error = BqdumpError("read", "gs://b", "it is gone", "See {call:status}.")
    assert str(error) == "cannot read gs://b: it is gone. See bqdump.status()."
    assert error.sentence(Flags({}, {})) == "cannot read gs://b: it is gone. See `bqdump status`."


def test_a_command_of_a_group_has_those_flags_that_it_takes() -> None:
    words = Flags({}, {"bucket": "b x", "region": "R", "as_of": "yesterday"})
    assert fill("{call:render.iam}", words) == "bqdump render iam --bucket 'b x' --region R"


def test_a_command_that_a_page_or_a_document_shows_has_the_place() -> None:
    words = Commands("gs://b/my exports")
    assert fill("{call:runs} lists them.", words) == "`bqdump runs --to 'gs://b/my exports'` lists them."
    assert fill("{call:run bucket=other}", words) == "bqdump run --bucket other"
    assert fill("{call:copy dest=s3://c to=gs://b}", words) == "bqdump copy s3://c --to gs://b"


def test_a_command_has_the_flags_of_this_invocation_except_for_secrets() -> None:
    typed = {"bucket": "b", "allow": ("other-location",), "notify": "https://hooks.example.com/secret", "json": True}
    words = Flags({}, typed)
    assert fill("{call:run run_id=r}", words) == "bqdump run --run-id r --bucket b --allow other-location"
    allowed = "bqdump run --allow removed-tables --bucket b --allow other-location"
    assert fill("{call:run allow=removed-tables}", words) == allowed
    assert fill("{call:verify run=r}", words) == "bqdump verify r --bucket b"
    assert fill("{call:verify run=r}") == "bqdump.verify(run='r')"


# Of other programs, and of commands that Python has not.
OTHERS = re.compile(r"gcloud |bqdump render ")
CALLS = re.compile(r"\{call:([a-z]+(?:\.[a-z]+)?)((?: [a-z_]+(?:=[^ {}]*)?)*)")
MAKES_A_JOB = ("render.job", "render.kubernetes")
BELOW = ["adapters", "check", "copying", "core", "export", "observe", "repository", "restoration", "retain", "sets"]


def messages(path: Path) -> list[tuple[str, str]]:
    """Every string of a module that is not a docstring, and the line that it is on."""
    text = path.read_text()
    tree, lines = ast.parse(text), text.splitlines()
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    strings = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in prose]
    return [(node.value, lines[node.lineno - 1]) for node in strings if isinstance(node.value, str)]


def test_no_message_below_the_front_ends_has_a_flag() -> None:
    """Python has arguments instead: messages name settings by placeholders."""
    source = Path(bqdump.__file__).parent
    modules = [module for package in BELOW for module in (source / package).rglob("*.py")]
    found = [text for module in modules for text, line in messages(module) if " " in text and not OTHERS.search(line)]
    assert [text for text in found if re.search(r"(?<![\w-])--[a-z]{2}", text)] == []


def test_a_command_that_a_message_prints_has_every_option_that_it_requires() -> None:
    """Those of settings are added as they were given."""
    source = Path(bqdump.__file__).parent
    texts = [text for path in source.rglob("*.py") for text, _ in messages(path)]
    calls = [call for text in texts for call in CALLS.findall(text)]
    assert {verb for verb, _ in calls} > {"render.iam", "render.job"}
    lacking = []
    for verb, given in calls:
        group, _, name = verb.partition(".")
        found = command(group)
        if isinstance(found, click.Group):
            found = found.commands[name]
        required = {option.name for option in found.params if isinstance(option, click.Option) and option.required}
        required |= {"image"} if verb in MAKES_A_JOB else set()
        lacking += [(verb, option) for option in required.difference(re.findall(r" ([a-z_]+)", given))]
    assert lacking == []
