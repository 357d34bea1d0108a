"""The commands in pages and scripts, and what speaks against one, without running it.

commands.txt has what gcloud and bq take. bqdump's own parser says what bqdump takes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from bqdump.cli.main import bqdump
from bqdump.core.errors import BqdumpError

TOOLS = ("gcloud", "bq", "bqdump")
FLAGS: dict[str, frozenset[str]] = {}
for line in (Path(__file__).with_name("commands.txt")).read_text().splitlines():
    if line and not line.startswith("#"):
        known, _, flags = line.partition(":")
        FLAGS[known] = frozenset(flags.split())
# Of every gcloud command.
WIDE = {"project", "format", "quiet", "flatten"}
# What may stand before a command.
BEFORE = re.compile(r"[A-Za-z_]\w*=.*|if|then|else|do|!|\{|time|timeout|\d+[smh]|later")
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|\\\n|(?<!\S)#[^\n]*|\n')
OPERATOR = re.compile(r"[;&|()<>]+")
# Operators within quotes, while the words are taken apart.
HIDDEN = {ord(operator): 0xE000 + ord(operator) for operator in ";&|()<>"}
SHOWN = {code: character for character, code in HIDDEN.items()}


def in_blocks(markdown: str) -> Iterator[list[str]]:
    """The commands in a page's shell blocks."""
    for language, text in FENCE.findall(markdown):
        if language in ("", "sh"):
            yield from in_script(text)


def in_sentences(markdown: str) -> Iterator[list[str]]:
    """The commands that sentences name, which may lack what the reader knows, and have optional parts in brackets."""
    for code in re.findall(r"`([^`]+)`", FENCE.sub("", markdown)):
        if code.startswith(tuple(f"{tool} " for tool in TOOLS)):
            yield from in_script(" ".join(re.sub(r"\[(.*?)\]", r"\1", code).split()))


def in_script(text: str) -> Iterator[list[str]]:
    """The commands of the tools in a shell script, also those in $(…)."""
    words = shlex.shlex(QUOTED.sub(_in_one_line, text), posix=True, punctuation_chars=True)
    words.whitespace_split, words.commenters = True, ""
    command: list[str] = []
    for quoted in [*words, ";"]:
        word = quoted.translate(SHOWN)
        yield from (inner for part in re.findall(r"\$\(([^()]*)\)", word) for inner in in_script(part))
        if not OPERATOR.fullmatch(quoted):
            command.append(word)
            continue
        while command and BEFORE.fullmatch(command[0]):
            command.pop(0)
        if command and command[0] in TOOLS:
            yield [one for one in command if one not in ("…", "2")]  # The 2 of 2>file.
        command = []


def _in_one_line(found: re.Match[str]) -> str:
    match found[0][0]:
        case "\n":
            return " ; "
        case "#":
            return ""
        case "\\":
            return " "
        case _:
            return found[0].translate(HIDDEN)


def objection(command: list[str], *, shortened: bool = False) -> str:
    """Why the tool would not take the command; "" if it would. shortened: what it requires may be left out."""
    if command[0] == "bqdump":
        return _of_bqdump(command[1:], (click.MissingParameter, click.BadOptionUsage) if shortened else ())
    places = [word for word in command if not word.startswith("-")]
    names = [" ".join(places[:count]) for count in range(len(places), 0, -1)]
    name = next((one for one in names if one in FLAGS), "")
    if name in ("", "bq"):
        return f"{names[0]}: not a known command"
    given = {word.lstrip("-").partition("=")[0] for word in command if word.startswith("-")}
    unknown = given - FLAGS[name] - (WIDE if command[0] == "gcloud" else FLAGS["bq"])
    return f"{name} has no {', '.join(sorted(unknown))}" if unknown else ""


def _of_bqdump(words: list[str], fine: tuple[type[Exception], ...]) -> str:
    """By its own parser. Values are not checked: pages have placeholders. A variable's name stands for its value."""
    words = [word.removeprefix("$") for word in words]
    command: click.Command = bqdump
    context: click.Context | None = None
    try:
        while words:
            context = command.make_context(words[0], words, parent=context)
            if not isinstance(command, click.Group):
                return ""
            _, found, words = command.resolve_command(context, context._protected_args + context.args)
            assert found
            command = found
    except click.exceptions.Exit:
        # It has printed its version or its help.
        return ""
    except (click.ClickException, BqdumpError) as error:
        return "" if isinstance(error, fine) else str(error)
    return ""
