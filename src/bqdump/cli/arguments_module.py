"""The module of the Python API's arguments, from the settings."""

from __future__ import annotations

from bqdump.core.settings.settings import SETTINGS, Settings

# Types that a caller may pass, by the type that the setting has in the end.
WIDER = {
    "int": "int | str",
    "tuple[str, ...]": "str | Sequence[str]",
    "tuple[Risk, ...]": "str | Sequence[str]",
    "dict[str, str]": "Mapping[str, str]",
}
DURATIONS = ("full_every", "patience", "job_timeout", "keep_within", "abandoned_after")
WIDER_NAMES = dict.fromkeys(DURATIONS, "str | timedelta") | {
    "dataset": "str | Sequence[str]",
    "price_per_tib": "float | str",
    "snapshot_time": "str | datetime",
    "tables": "Mapping[str, Mapping[str, Any]] | str",
}
HEAD = '''\
"""The settings as keyword arguments of the Python API. Made by `python -m bqdump.cli.reference`, compared in tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypedDict


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
    return HEAD + "".join(lines) + TAIL


def _type(name: str, annotation: str) -> str:
    wide = WIDER_NAMES.get(name) or WIDER.get(annotation, annotation)
    return wide if wide.endswith("| None") else f"{wide} | None"
