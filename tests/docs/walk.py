"""A page, followed from its first to its last command on a local stack."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from itertools import islice
from pathlib import Path

from bqdump_local.seed import Source, dummies, seed
from bqdump_local.stack import Stack
from docs.samples import below, differs
from docs.warm_shell import commands

ROOT = Path(__file__).parents[2]


def seed_few(stack: Stack, *more: Source) -> None:
    """The dataset and the bucket that pages name, with three tables and these."""
    sources = [*islice(dummies(), 3), *more]
    seed(stack, project="my-project", dataset="sales", bucket="source", target="my-exports", sources=sources)


def blocks(page: str) -> list[str]:
    """The command blocks of a page, below the project's folder."""
    return re.findall(r"^```sh\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def follow(page: str, folder: Path, variables: Mapping[str, str] = {}, without: str = "pip install") -> str:
    """Run every block, in order, in one shell that stops at the first failure; returns all that was printed.

    without: what the lines begin with that are left out.

    What the page shows below a block must be what the block prints.
    """
    samples = below((ROOT / page).read_text())
    texts = [re.sub(rf"^{without}.*\n", "", sample.commands, flags=re.MULTILINE) for sample in samples]
    printed = shell("".join(f"{text}\nprintf '\\036'\n" for text in texts), folder, variables)
    for sample, found in zip(samples, printed.split("\x1e"), strict=False):
        different = differs(sample.shown, found)
        assert not different, different
    return printed.replace("\x1e", "")


def shell(script: str, folder: Path, variables: Mapping[str, str] = {}) -> str:
    """Run commands in one shell that stops at the first failure; returns all that was printed.

    INSTALLED names the folder of another bqdump than that of this tree (tests/environments.py).
    """
    with tempfile.TemporaryDirectory() as place, commands(Path(place)) as started:
        first = os.environ.get("INSTALLED", str(started))
        path = os.pathsep.join((first, str(Path(sys.executable).parent), os.environ["PATH"]))
        done = subprocess.run(
            ["sh", "-eu"], input=script, env={"PATH": path, **variables}, cwd=folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout
