"""Imported by every Python that finds it on its path: packages named in WITHOUT are not installed for that process."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_WITHOUT = tuple(os.environ["WITHOUT"].split(","))
_find = PathFinder.find_spec


def _found(fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
    return None if fullname in _WITHOUT else _find(fullname, path, target)


# Types do not allow what this file is for.
PathFinder.find_spec = _found  # type: ignore[method-assign]
