"""Parses a Dockerfile, and runs the steps of a stage in a local folder."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import venv
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

import pip


class Step(NamedTuple):
    """One instruction, its lines joined."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The arguments without flags."""
        return [word for word in self.rest.split() if not word.startswith("--")]

    @property
    def stage(self) -> str:
        """The stage that a COPY copies from; "" for the build context."""
        found = re.search(r"--from=(\S+)", self.rest)
        return found.group(1) if found else ""

    @property
    def sources(self) -> list[str]:
        """The sources of a COPY."""
        return self.words[:-1]


class Stage(NamedTuple):
    """A FROM and the instructions after it."""

    name: str
    steps: list[Step]

    def last(self, word: str) -> str:
        """The argument of the last instruction of this kind."""
        return next(step.rest for step in reversed(self.steps) if step.word == word)


def read(text: str, **given: str) -> list[Stage]:
    """The stages of a Dockerfile, built with these --build-arg values."""
    arguments: dict[str, str] = {}
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    stages: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.strip().partition(" ")
        known = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], found[0]), " ".join(rest.split()))
        step = Step(word.upper(), known)
        if step.word == "ARG":
            argument, _, default = known.partition("=")
            arguments[argument] = given.get(argument, default)
            continue
        if step.word == "FROM":
            name = re.search(r" AS (\S+)$", step.rest, re.IGNORECASE)
            stages.append(Stage(name.group(1) if name else "", []))
        if stages:
            stages[-1].steps.append(step)
    return stages


def exec_form(text: str) -> list[str]:
    """The words of an ENTRYPOINT or CMD."""
    words = json.loads(text)
    assert isinstance(words, list)
    return [str(word) for word in words]


def sent(ignore: str, path: str) -> bool:
    """Whether a path is part of the build context, by the last matching rule of a .dockerignore."""
    inside = True
    for line in ignore.splitlines():
        rule = line.strip()
        if not rule or rule.startswith("#"):
            continue
        pattern = rule.lstrip("!").removesuffix("/")
        parts = Path(path).parts
        above = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        anywhere = pattern.removeprefix("**/")
        if any(fnmatch(name, pattern) if pattern == anywhere else fnmatch(Path(name).name, anywhere) for name in above):
            inside = rule.startswith("!")
    return inside


def follow(stage: Stage, context: Path, ignore: str, home: Path) -> Path:
    """Run a stage's COPY and RUN steps below `home`, with absolute paths moved there. Returns the stage's root."""
    root = home / "root"
    root.mkdir(parents=True)
    python = home / "python"
    _python_with_pip(python)
    kept = {
        name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV" and not name.startswith("PYTHON")
    }
    environ = kept | {"PATH": f"{python / 'bin'}:{os.environ['PATH']}"}
    folder = root
    for step in stage.steps:
        if step.word == "WORKDIR":
            folder = root / step.rest.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
        elif step.word == "ENV":
            environ |= dict(pair.split("=", 1) for pair in step.rest.split())
        elif step.word == "COPY":
            for source in step.sources:
                _copy(context, source, ignore, folder / step.words[-1])
        elif step.word == "RUN":
            command = re.sub(r"(?<=\s)/(?=app\b)", f"{root}/", step.rest)
            done = subprocess.run(["sh", "-euc", command], cwd=folder, env=environ, capture_output=True, text=True)
            assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"
        else:
            assert step.word == "FROM", f"cannot follow {step.word}"
    return root


def _python_with_pip(folder: Path) -> None:
    """An environment as in the base image, with a link to the pip of this one: installing one takes three seconds."""
    venv.create(folder, symlinks=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    (packages / "pip").symlink_to(Path(pip.__file__).parent)


def _copy(context: Path, source: str, ignore: str, target: Path) -> None:
    start = context / source
    files = (
        [start]
        if start.is_file()
        else [path for path in sorted(start.rglob("*")) if path.is_file() or path.is_symlink()]
    )
    for file in files:
        if sent(ignore, file.relative_to(context).as_posix()):
            place = target / (file.name if file == start else file.relative_to(start))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, place, follow_symlinks=False)


def importable(python: Path, modules: list[str]) -> list[str]:
    """The modules among these that an interpreter finds."""
    code = "import importlib.util, sys; print(*[m for m in sys.argv[1:] if importlib.util.find_spec(m)])"
    found = subprocess.run([python, "-I", "-c", code, *modules], capture_output=True, text=True, check=True)
    return found.stdout.split()
