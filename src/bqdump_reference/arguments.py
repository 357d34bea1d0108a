"""src/bqdump/api/arguments.py: the settings as keyword arguments, with the types that a caller may pass."""

from __future__ import annotations

from bqdump.core.settings.settings import BY_NAME, SETTINGS, Settings

LONGEST = 120
# Types that a caller may pass, by the type that the setting has in the end.
WIDER = {
    "int": "int | str",
    "tuple[str, ...]": "str | Sequence[str]",
    "tuple[Risk, ...]": "str | Sequence[str]",
    "dict[str, str]": "Mapping[str, str]",
}
WIDER_NAMES = {setting.name: "str | timedelta" for setting in SETTINGS if setting.metavar == "TIME"} | {
    "dataset": "str | Sequence[str]",
    "allow": "Accepted | Sequence[Accepted]",
    "price_per_tib": "float | str",
    "snapshot_time": "str | datetime",
    "tables": "Mapping[str, Mapping[str, Any]] | str",
}
# Settings with a closed set of values, and the name of its type.
CLOSED = {
    "route": "Route",
    "format": "Format",
    "compression": "Compression",
    "on_unsupported": "Unsupported",
    "allow": "Accepted",
}
ARGUMENTS_HEAD = '''\
"""The settings as keyword arguments of the Python API. Made by `python -m bqdump_reference`, compared in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

{literals}

class Options(TypedDict, total=False):
    """The settings, and the file with further ones; None: not given. docs/settings.md describes each of them."""

    config: str | None
'''
TAIL = """

Options.__module__ = "bqdump"
"""


def arguments_module() -> str:
    """The text of bqdump/api/arguments.py."""
    annotations = {name: str(kind) for name, kind in Settings.__annotations__.items()}
    names = [setting.name for setting in SETTINGS]
    lines = [f"    {name}: {_type(name, annotations.get(name, 'str'))}\n" for name in names]
    return ARGUMENTS_HEAD.replace("{literals}", "".join(map(_literal, CLOSED))) + "".join(lines) + TAIL


def _literal(name: str) -> str:
    """The type of the values of a setting."""
    values = [f'"{value}"' for value in BY_NAME[name].choices]
    line = f"{CLOSED[name]} = Literal[{', '.join(values)}]\n"
    return (
        line
        if len(line) <= LONGEST
        else f"{CLOSED[name]} = Literal[\n" + "".join(f"    {value},\n" for value in values) + "]\n"
    )


def _type(name: str, annotation: str) -> str:
    wide = WIDER_NAMES.get(name) or CLOSED.get(name) or WIDER.get(annotation, annotation)
    return wide if wide.endswith("| None") else f"{wide} | None"
