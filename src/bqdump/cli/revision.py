"""What this bqdump was made from. It is imported before anything else is."""

from __future__ import annotations

import os

from bqdump import __version__

# The commit, which the build of an image writes here.
REVISION = os.path.join(os.path.dirname(os.path.dirname(__file__)), "REVISION")  # noqa: PTH118, PTH120 (a light import)


def version_line() -> str:
    """The version and, where it is known, the commit."""
    try:
        with open(REVISION, encoding="utf-8") as file:  # noqa: PTH123
            return f"bqdump {__version__} ({file.read().strip()})"
    except OSError:
        return f"bqdump {__version__}"
