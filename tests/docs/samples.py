"""What pages show below commands, and whether it is what the commands print.

A page shows output in a block `text`: below a block of commands that a test runs, or as a session, whose commands
begin with `$`. A line `…` stands for any lines, and within a line for the rest of it. Times, sizes and names that
differ from run to run may differ here, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

BELOW = re.compile(r"^```sh\n(.*?)^```\n(?:\n```text\n(?!\$ )(.*?)^```)?", re.MULTILINE | re.DOTALL)
SESSIONS = re.compile(r"^```text\n(\$ .*?)^```", re.MULTILINE | re.DOTALL)
VARYING = [
    (re.compile(pattern), word)
    for pattern, word in (
        (r"\d{4}-\d\d-\d\d(T| at |, )\d\d:\d\d(:\d\d(\.\d+)?)?(Z| UTC)?", "TIME"),
        (r"\b\d{4}-\d\d-\d\d\b", "DATE"),
        (r"\b\d{8}T\d{6,9}Z\b", "RUN"),
        (r"\b\d\d:\d\d:\d\d\b", "CLOCK"),
        (r"\bjust now\b|\b\d[\d.]* (ms|s|min|seconds?|minutes?|hours?|days?)( ago)?\b", "SPAN"),
        (r"[-+]?\b\d[\d.,]* (B|KB|MB|GB)\b", "SIZE"),
        (r"[-+]\d[\d.,]* %", "SHARE"),
        (r"\b[0-9a-f]{12}-\d+\b", "RESTORE"),
        (r"\b(bqdump_drill_|bqdump-)[0-9a-f]{6,8}\b", "SCRATCH"),
        (r"\bSHA256:\S+|\bsha256:[0-9a-f]+|\b[0-9a-f]{64}\b|\b[0-9a-f]{16}\b", "DIGEST"),
        (r"\b127\.0\.0\.1:\d+|\blocalhost:\d+", "ADDRESS"),
        (r"[ \t]+", " "),
    )
]


class Sample(NamedTuple):
    """Commands, and what a page shows below them: "" if it shows nothing."""

    commands: str
    shown: str


def below(page: str) -> list[Sample]:
    """The blocks of commands of a page, with what it shows below each."""
    return [Sample(commands, shown) for commands, shown in BELOW.findall(page)]


def example(page: str, title: str, language: str) -> str:
    """The first block of code in this language below a heading, or below a paragraph that begins with the title."""
    (code,) = re.findall(
        rf"^(?:#+ |\*\*){title}\b(?:(?!^```).)*?^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL
    )
    return str(code)


def sessions(page: str) -> Iterator[Sample]:
    """The commands of a page's sessions, one by one."""
    for session in SESSIONS.findall(page):
        for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield Sample(command, shown)


def differs(shown: str, printed: str) -> str:
    """Why what is shown is not what was printed, "" if it is."""
    lines = canonical(shown).splitlines()
    parts = ["(?:.*\n)*?" if line == "…" else f"{'.*'.join(map(re.escape, line.split('…')))}\n" for line in lines]
    found = canonical(printed)
    return "" if not shown or re.fullmatch("".join(parts), found) else f"shown:\n{canonical(shown)}\nprinted:\n{found}"


def canonical(text: str) -> str:
    """A text with words in the place of what differs from run to run."""
    for pattern, word in VARYING:
        text = pattern.sub(word, text)
    lines = [re.sub(r"^([*] )?CLOCK ", r"\1CLOCK ", line.strip()) for line in text.strip().splitlines()]
    return "".join(f"{line}\n" for line in lines if line)
