"""The text of a bqdump.toml: every setting with what it means, the chosen ones in force, the others commented out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bqdump.core.settings import SETTINGS, Settings

HEAD = """\
# Settings of bqdump. A flag wins over the environment, the environment over this file.
# Lines that are commented out show what holds without them.
"""


def settings_file(chosen: Mapping[str, Any]) -> str:
    """The file with these settings in force; each value is as a setting's parser returns it."""
    defaults = Settings(project="", dataset="", bucket="")
    parts = [HEAD]
    for setting in SETTINGS:
        mark = "" if setting.name in chosen else "# "
        # Sections of their own are a table in TOML, and none of them an empty one.
        default = {} if setting.name == "tables" else getattr(defaults, setting.name)
        value = chosen.get(setting.name, default)
        parts.append(f"# {setting.help}\n{mark}{setting.name} = {_toml(value)}\n")
    return "\n".join(parts)


def _toml(value: Any) -> str:
    """A value as TOML. Its basic strings, true and false are those of JSON, but for DEL."""
    if isinstance(value, Mapping):
        pairs = [f"{_toml(key)} = {_toml(content)}" for key, content in value.items()]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
