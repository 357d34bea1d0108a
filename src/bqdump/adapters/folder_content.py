"""What a folder may contain where runs export to it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from bqdump.adapters.folder_index import INDEX
from bqdump.adapters.folder_paths import OWN
from bqdump.core.documents.fields import STATE
from bqdump.core.errors import UsageError

# A folder that is no target at all, such as a home directory, may hold millions.
LOOKED_AT = 10_000


def refuse_other_content(root: Path) -> None:
    """Raise UsageError for anything but a new folder, an empty one, or one that runs have exported to."""
    if root.is_dir() and not (root / INDEX).exists() and any(not path.name.startswith(OWN) for path in root.iterdir()):
        if contains(root, STATE):
            cause = "it is a copy of an export, and runs can replace files only where they were written"
            raise UsageError("use", str(root), cause, "Use a new or empty folder.")
        cause = "the folder is not empty and contains no export"
        raise UsageError("use", str(root), cause, "Use a new or empty folder, or one that has an export.")


def refuse_a_file(root: Path) -> None:
    """Raise UsageError where a file is in the place of the folder, or of one above it."""
    there = next((path for path in (root, *root.parents) if os.path.lexists(path)), None)
    if there and not there.is_dir():
        raise UsageError("use", str(there), "not a folder", "Name the folder of an export, or a new one.")


def contains(root: Path, folder: str, most: int = LOOKED_AT) -> bool:
    """Whether a folder of this name is somewhere below, looking at so many entries, the nearest first."""
    waiting = [root]
    for place in waiting:
        if (place / folder).is_dir():
            return True
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if (most := most - 1) < 0:
                    return False
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(place / entry.name)
    return False
