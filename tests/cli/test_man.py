"""The manual page of each command has what its help has, in valid roff."""

from __future__ import annotations

import re
from collections.abc import Iterator

import click
import pytest

from bqdump.cli.main import bqdump, start

MACROS = ("TH", "SH", "PP", "TP", "B", "nf", "fi")


def commands(context: click.Context, *words: str) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command
            yield from commands(click.Context(command, parent=context, info_name=name), *words, name)


EVERY = list(commands(click.Context(bqdump, info_name="bqdump")))


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert start(["help", *words]) == 0
    return capsys.readouterr().out


def plain(page: str) -> str:
    """The words of a page."""
    text = re.sub(r"\\\[u([0-9A-F]{4,})\]", lambda found: chr(int(found[1], 16)), page)
    for escape, character in (("\\-", "-"), ("\\(dq", '"'), ("\\&", ""), ("\\e", "\\")):
        text = text.replace(escape, character)
    return text


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_each_command_has_a_page_in_roff_with_each_option_of_its_help(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    page, helped = shown(capsys, "--man", *words), shown(capsys, *words)
    assert page.isascii()
    lines = page.splitlines()
    name = "-".join(("bqdump", *words))
    assert plain(lines[0]).startswith(f'.TH "{name.upper()}" "1"')
    for line in lines:
        assert line
        if line[0] in ".'":
            assert line.split()[0].removeprefix(".") in MACROS, line
    sections = [line.removeprefix(".SH ") for line in lines if line.startswith(".SH ")]
    assert sections[:3] == ["NAME", "SYNOPSIS", "DESCRIPTION"]
    assert sections[-2:] == ["EXIT STATUS", "SEE ALSO"]
    terms = [plain(line.removeprefix(".B ")).strip() for line in lines if line.startswith(".B ")]
    for option in re.findall(r"^  (-\S+(?:, --\S+)?)", helped, re.MULTILINE):
        assert any(term.startswith(option.rstrip(",")) for term in terms) or option.rstrip(",") in plain(page), option
    for example in re.findall(r"^    (bqdump .*)$", helped, re.MULTILINE):
        assert example in plain(page)


def test_a_page_of_no_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert start(["help", "--man", "retention"]) == 2
    assert "retention: unknown command. Did you mean `bqdump help retention`?" in capsys.readouterr().err
