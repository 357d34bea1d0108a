"""A bqdump.toml: its text, with a description of every setting, and the settings it cannot contain."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bqdump.core.errors import UsageError
from bqdump.core.settings.resolve import READ
from bqdump.core.settings.settings import BY_NAME, OF_ONE_RUN, RETENTION, SETTINGS, Settings
from bqdump.core.settings.target import Target
from bqdump.core.wording import fill

HEAD = """\
# Settings of bqdump. Flags take precedence over environment variables, and variables over this file.
# Commented lines show the defaults.
"""


def settings_file(chosen: Mapping[str, Any]) -> str:
    """The file with these settings in effect; each value is as a setting's parser returns it."""
    defaults = Settings(project="", dataset="", target=Target())
    parts = [HEAD]
    for setting in (*(one for one in SETTINGS if one.name not in RETENTION), *map(BY_NAME.__getitem__, RETENTION)):
        if setting.name in OF_ONE_RUN:
            continue
        if setting.name == RETENTION[0]:
            parts.append(f"{'' if chosen.keys() & {*RETENTION} else '# '}[retention]\n")
        mark = "" if setting.name in chosen else "# "
        # An empty table in TOML, where sections are a table of their own.
        default = {} if setting.name == "tables" else getattr(defaults, setting.name, "")
        value = chosen.get(setting.name, default)
        parts.append(f"# {fill(setting.help)}\n{mark}{setting.name} = {_toml(value)}\n")
    return "\n".join(parts)


def refuse_single_run(values: Mapping[str, Any], file: str) -> None:
    """Raise UsageError if the file sets what belongs to a single run."""
    for name, why in OF_ONE_RUN.items():
        if values.get(name):
            setting = BY_NAME[name]
            hint = f"Remove it from the file. For a single run, use {{setting:{name}}} or {setting.env}."
            cause = f"not allowed in a file: {why}"
            raise UsageError(READ, "", cause, hint, setting=name, place=f"{file}: {name}")


def _toml(value: Any) -> str:
    """A value as TOML; its basic strings, true and false are those of JSON, except for DEL. None: an empty string."""
    if value is None:
        return '""'
    if isinstance(value, Target):
        return _toml(str(value).rstrip("/"))
    if isinstance(value, Mapping):
        pairs = [f"{_toml(key)} = {_toml(content)}" for key, content in value.items()]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
