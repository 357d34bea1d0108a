"""Prints what the changelog says about one version: python deploy/notes.py CHANGELOG.md v0.2.0."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def notes(changelog: str, version: str) -> str:
    """The section of the version, without its heading. Raises ValueError where there is none."""
    parts = re.split(r"^## (\S+).*\n", changelog, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    name = version.removeprefix("v")
    if not sections.get(name, "").strip():
        raise ValueError(f"the changelog has no section {name}; it has {', '.join(sections) or 'none'}")
    return sections[name].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(notes(Path(sys.argv[1]).read_text(encoding="utf-8"), sys.argv[2]))
    except ValueError as error:
        sys.exit(str(error))
