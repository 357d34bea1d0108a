"""A bqdump.toml: its text, with every setting and what it means, and what it cannot hold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bqdump.core.errors import UsageError
from bqdump.core.settings.settings import BY_NAME, OF_ONE_RUN, READ, SETTINGS, Settings

HEAD = """\
# Settings of bqdump. A flag wins over the environment, the environment over this file.
# Lines that are commented out show what holds without them.
"""


def settings_file(chosen: Mapping[str, Any]) -> str:
    """The file with these settings in force; each value is as a setting's parser returns it."""
    defaults = Settings(project="", dataset="", bucket="")
    parts = [HEAD]
    for setting in SETTINGS:
        if setting.name in OF_ONE_RUN:
            continue
        mark = "" if setting.name in chosen else "# "
        # Sections of their own are a table in TOML, and none of them an empty one.
        default = {} if setting.name == "tables" else getattr(defaults, setting.name)
        value = chosen.get(setting.name, default)
        parts.append(f"# {setting.help}\n{mark}{setting.name} = {_toml(value)}\n")
    return "\n".join(parts)


def refuse_single_run(values: Mapping[str, Any], file: str) -> None:
    """Raise UsageError where the file sets what belongs to a single run."""
    for name, why in OF_ONE_RUN.items():
        if values.get(name):
            setting = BY_NAME[name]
            hint = f"Remove it from the file; for a single run, pass {setting.flag} or set {setting.env}."
            raise UsageError(READ, f"{file}: {name}", f"it cannot be set in a file: {why}", hint)


def _toml(value: Any) -> str:
    """A value as TOML; its basic strings, true and false are those of JSON, except for DEL. None: an empty string."""
    if value is None:
        return '""'
    if isinstance(value, Mapping):
        pairs = [f"{_toml(key)} = {_toml(content)}" for key, content in value.items()]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
