"""Manual pages of the commands, from what their help prints."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import click

from bqdump.cli.exit_codes import MEANINGS
from bqdump.core.version import VERSION


def manual(context: click.Context) -> str:
    """The manual page of a command, for `man -l`."""
    name = context.command_path.replace(" ", "-")
    command = context.command
    formatter = _Roff()
    command.format_options(context, formatter)
    if isinstance(command, click.Group) and not formatter.written("COMMANDS"):
        command.format_commands(context, formatter)
    pieces = " ".join(command.collect_usage_pieces(context))
    codes = "".join(f".TP\n.B {_text(', '.join(map(str, codes)))}\n{_text(meaning)}\n" for codes, meaning in MEANINGS)
    others = "bqdump(1)" if context.parent else "bqdump-run(1), bqdump-restore(1)"
    return (
        f'.TH "{_text(name.upper())}" "1" "" "bqdump {VERSION}" "bqdump"\n'
        f".SH NAME\n{_text(name)} \\- {_text(command.get_short_help_str(1000).rstrip('.'))}\n"
        f".SH SYNOPSIS\n.B {_text(context.command_path)}\n{_text(pieces)}\n"
        f".SH DESCRIPTION\n{_description(command.help or '')}"
        f"{formatter.getvalue()}"
        f".SH EXIT STATUS\n{codes}"
        f".SH SEE ALSO\n{others}\n"
    )


class _Roff(click.HelpFormatter):
    """Writes the sections of a help as those of a manual page."""

    def written(self, heading: str) -> bool:
        """Whether a section has this heading."""
        return f".SH {heading}\n" in self.buffer

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        self.buffer.append(f".SH {_text(name.upper())}\n")
        yield

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        for term, definition in rows:
            self.buffer.append(f".TP\n.B {_text(term.strip())}\n{_text(definition)}\n")

    def write(self, string: str, /) -> None:
        self.buffer.append(_text(" ".join(string.split())) + "\n")


def _description(text: str) -> str:
    """The paragraphs of a docstring; those that click does not wrap, as they are."""
    lines = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        kept, _, rest = paragraph.partition("\n")
        if kept.strip() == "\b":
            lines.append(f".PP\n.nf\n{_lines(rest)}\n.fi\n")
        else:
            lines.append(f".PP\n{_lines(paragraph)}\n")
    return "".join(lines)


def _lines(text: str) -> str:
    return "\n".join(map(_text, text.splitlines()))


def _text(text: str) -> str:
    """Text for roff: a hyphen that stays one, and no line that begins with a request."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")
    escaped = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
