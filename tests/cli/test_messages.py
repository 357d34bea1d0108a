"""Every message: numbers agree, names are there, and commands can be pasted as they stand."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import bqdump
import pasted
from bqdump.cli import SETUP
from bqdump.cli.main import GROUPS
from bqdump.core.sizes import counted, listed, named
from bqdump.core.wording import COMMANDS, PYTHON, SETTING, fill
from docs.shell import in_script, objection

SOURCE = Path(bqdump.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
VERBS = {*SETUP, *(verb for group in GROUPS.values() for verb in group)} | {"check-service"}
# A command within a message: up to the end of its line, or to the backtick that delimits it.
COMMAND = re.compile(
    r"(?P<delimited>`?)(?:\bbqdump (?:" + "|".join(sorted(VERBS)) + r")|\bgcloud [a-z]+|\bbq [a-z]+)\b[^`\n]*`?"
)
# Words of commands that are neither flags nor values.
PLAIN = (
    "new keep kms keys rm cat up down bash zsh settings execute seed prune less auth application-default login storage "
    "buckets update create objects restore projects services enable link retention"
)
# What follows in a command: flags, placeholders, paths, values, pipes; � is what a message fills in.
WORDS = re.compile(
    r"( (--?[\w-]+(=\S*)?|…|\||[A-Z�'\"\[{(/.~0-9$]\S*|\S*[�:/=]\S*|" + PLAIN.replace(" ", "|") + r"))*['\")]*"
)


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a module that are no docstrings; what is filled in is �."""
    tree = ast.parse(path.read_text())
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(value) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for value in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(v.value if isinstance(v, ast.Constant) else "�" for v in node.values)  # type: ignore[misc]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docs | parts):
            yield node.lineno, node.value


@cache
def messages() -> list[tuple[str, str]]:
    """Every string of more than a word, with its place."""
    return [
        (f"{path.relative_to(SOURCE)}:{line}", text)
        for path in MODULES
        if "render" not in path.parts and path.name != "completion.py"
        for line, text in literals(path)
        if " " in text
    ]


def test_a_command_in_a_message_is_at_the_end_of_its_line_or_delimited() -> None:
    unclear = [
        (place, text)
        for place, text in messages()
        for found in COMMAND.finditer(text)
        if not found["delimited"]
        and not WORDS.fullmatch(re.sub(r"^(bqdump [\w-]+�*|gcloud [a-z]+|bq [a-z]+)", "", found[0]))
    ]
    assert unclear == [], unclear


def test_the_command_of_a_message_is_a_placeholder_so_that_it_has_the_place_and_the_words_of_its_reader() -> None:
    # The command line adds what is lacking itself. The others name a command that has no place, or a tool.
    others = {
        "adapters/google/access.py", "copying/places.py", "core/copy/plan.py", "core/settings/file.py",
        "core/settings/resolve.py", "retain/survey.py", "services/keys.py",
    }  # fmt: skip
    written = [
        (place, text)
        for place, text in messages()
        if not place.startswith("cli/") and place.partition(":")[0] not in others
        if any(found[0].lstrip("`").startswith("bqdump ") for found in COMMAND.finditer(text))
    ]
    assert messages()
    assert written == [], written


def test_the_tools_take_every_command_that_a_message_names() -> None:
    """What messages fill in is one word here; its values are checked where a test prints them: see pasted."""
    refused = [
        (place, words, why)
        for place, text in messages()
        for found in COMMAND.finditer(re.sub(r"(bqdump [a-z-]+)�", r"\1", text))
        if "…" not in found[0] and "{}" not in found[0] and not found[0].endswith('"')
        for words in in_script(re.sub(r" N$", " 3", found[0].strip("`")).replace("�", "X"))
        if (why := objection(words))
    ]
    assert refused == [], refused


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("Delete it: `bqdump prune a`, then repeat.", True),
        ("Delete it: bqdump prune a, then repeat.", False),
        ("Show it: bqdump erase 'my table'.", True),
        ("Show it: bqdump erase my table.", False),
        ('{"message": "Show it: bqdump ls a --sorted"}', False),
        ("Usage: bqdump ls [OPTIONS] [RUN]", True),
    ],
)
def test_what_is_printed_is_taken_as_a_reader_copies_it(text: str, fine: bool) -> None:
    assert (pasted.refused(text) == []) == fine


def test_a_value_that_a_message_fills_into_a_command_is_quoted() -> None:
    """An f-string would put it between the words of the command as it is. Names of runs and risks need no quotes."""
    names = r" (run|run_id|allow)=�"
    bare = [(place, text) for place, text in messages() if re.search(r"\{call:[^}]*�", re.sub(names, "", text))]
    assert bare == [], bare


def test_no_message_is_about_size_or_more_as_if_they_were_things() -> None:
    assert [each for each in messages() if re.search(r"\bis size\b|\bmores\b", each[1])] == []


@pytest.mark.parametrize("message", ["repeat: {call:run run_id=a}", "repeat:\n{call:run run_id=a}\nThen wait."])
def test_a_command_at_the_end_of_a_line_stands_alone(message: str) -> None:
    assert "bqdump run --run-id a" in fill(message, COMMANDS).splitlines()[-1 if message.endswith("}") else 1]
    assert "`" not in fill(message, COMMANDS)


@pytest.mark.parametrize("after", [".", ". Then wait.", ", then wait", ") or wait"])
def test_a_command_within_a_sentence_is_delimited(after: str) -> None:
    assert fill("repeat {call:run run_id=a}" + after, COMMANDS) == f"repeat `bqdump run --run-id a`{after}"
    assert fill("repeat {call:run run_id=a}" + after, PYTHON) == f"repeat bqdump.run(run_id='a'){after}"


def nouns() -> Iterator[tuple[str, str]]:
    """Every noun that the product counts."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "counted":
                noun = node.args[1]
                if isinstance(noun, ast.Constant):
                    yield f"{path.relative_to(SOURCE)}:{node.lineno}", str(noun.value)


def test_every_noun_that_is_counted_has_a_regular_plural() -> None:
    found = list(nouns())
    assert len(found) > 100
    irregular = re.compile(r"(more|[^aeiou]y|s|x|ch|sh|other|size)$")
    assert [noun for noun in found if irregular.search(noun[1])] == []


def test_lists_of_no_one_two_and_many_things() -> None:
    things = ["a", "b", "c", "d"]
    assert [counted(number, "table") for number in (0, 1, 2, 2000)] == [
        "0 tables",
        "1 table",
        "2 tables",
        "2,000 tables",
    ]
    assert [listed(things[:number], "and") for number in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert [named(things[:number], 2, "table") for number in range(5)] == [
        "", "a", "a, b", "a, b and 1 more table", "a, b and 2 more tables",
    ]  # fmt: skip


def test_hints_in_python_have_values_that_python_takes() -> None:
    assert fill("such as {setting:keep_daily=7}") == "such as keep_daily=7"
    assert fill("such as {setting:format=parquet}") == "such as format='parquet'"
    values = {
        match for _, text in messages() for match in re.findall(SETTING, text) if match[1] and "�" not in match[1]
    }
    assert values
    for name, value in values:
        meant = True if value == "True" else int(value) if value.isdecimal() else value
        assert ast.literal_eval(fill(f"{{setting:{name}={value}}}").split("=", 1)[1]) == meant
