"""The file of settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bqdump.core.errors import UsageError, open_files_error, out_of_files

CONFIG = "bqdump.toml"


def read_config(file: str | None) -> dict[str, Any]:
    """The content of the settings file; nothing without one. Raises UsageError."""
    path = Path(file or CONFIG)
    if not file and not path.exists():
        return {}
    import tomllib

    from bqdump.core.settings.file import refuse_single_run

    try:
        with path.open("rb") as stream:
            values = tomllib.load(stream)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError("read the settings", str(path), f"invalid TOML: {error}") from None
    except OSError as error:
        if out_of_files(error):
            raise open_files_error("read", str(path)) from None
        raise UsageError("read the settings", str(path), error.strerror or str(error)) from None
    refuse_single_run(values, str(path))
    return values
