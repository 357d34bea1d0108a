"""`python -m tests.untouched`: the parts of `make test-all` that no change since the newest landed state reaches.

`.ci/run` leaves them out, except at night. They are printed on one line. The landed state is what $BASE names, or
origin/main where this commit goes on from it; where none is known, every part is run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from tiers import ASIDE

ROOT = Path(__file__).resolve().parent.parent
# Each test depends on these.
EVERYWHERE = (".ci", "Makefile", "pyproject.toml", "requirements")


def git(root: Path, *arguments: str) -> str | None:
    """What git prints; None where it fails."""
    ended = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    return ended.stdout.strip() if ended.returncode == 0 else None


def changed(root: Path, base: str = "") -> list[str] | None:
    """The files that differ from the landed state, as far as they are in git; None where that is unknown."""
    head = git(root, "rev-parse", "HEAD")
    landed = git(root, "rev-parse", "--verify", "--quiet", f"{base or 'origin/main'}^{{commit}}")
    if landed is None or landed == head or git(root, "merge-base", "--is-ancestor", landed, "HEAD") is None:
        return None
    # Without renames, both names are there.
    names = git(root, "diff", "--no-renames", "--name-only", "-z", landed)
    return None if names is None else list(filter(None, names.split("\0")))


def untouched(names: Iterable[str] | None) -> list[str]:
    """The parts that these files do not reach."""
    if names is None:
        return []
    found = list(names)
    if any(below(name, EVERYWHERE) or name.rpartition("/")[0] == "tests" for name in found):
        return []
    return [part for part, aside in ASIDE.items() if not any(below(name, aside.about) for name in found)]


def below(name: str, folders: Iterable[str]) -> bool:
    """Whether this is one of these files, or in one of these folders."""
    return any(name == folder or name.startswith(f"{folder}/") for folder in folders)


if __name__ == "__main__":
    sys.stdout.write(" ".join(untouched(changed(ROOT, os.environ.get("BASE", "")))) + "\n")
