"""What of Google's clients is not imported, or not yet: most of the time in which a task starts.

Nothing here is needed for correctness; without it the same packages are imported, all and at once.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# Google's clients import these when they can, and an export needs none of them.
UNUSED = ("pandas", "pyarrow", "geopandas", "IPython", "opentelemetry", "grpc")
# They and requests import these always, and an export needs them in rare cases: keys of service accounts, errors of
# gRPC, uploads by XML, hosts that are not ASCII.
RARE = (
    "google.auth.crypt",
    "google.auth.iam",
    "google.auth.jwt",
    "google.protobuf.duration_pb2",
    "google.protobuf.timestamp_pb2",
    "google.rpc.error_details_pb2",
    "idna",
    "xml.etree.ElementTree",
)


# Held by whoever imports one of Google's clients beside other threads, or runs what was put off: a module that is put
# off is there before it has run, and a thread that takes it for complete misses names in it.
IMPORTS = threading.RLock()


class Later:
    """A module that is imported when something of it is asked for, by whichever thread asks first."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        with IMPORTS:
            module = importlib.import_module(self._name)
        return getattr(module, attribute)


class _Rare:
    """Finds the modules of RARE so that they run when something of them is asked for."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's specification, None for every other module."""
        if fullname not in RARE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def import_lean() -> None:
    """Import from now on in this process only what an export needs."""
    modules: dict[str, Any] = sys.modules
    for name in UNUSED:
        modules.setdefault(name, None)
    if not any(isinstance(finder, _Rare) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Rare())


def allow(name: str) -> None:
    """Let this one be imported after all: for the read route. Not for threads that import it meanwhile."""
    if sys.modules.get(name, sys) is None:
        del sys.modules[name]


def load_rare() -> None:
    """Run what has been put off: before threads share it, for a module that is put off is not safe for threads."""
    with IMPORTS:
        for name in RARE:
            if (module := sys.modules.get(name)) is not None:
                _ = module.__doc__


def put_nothing_off() -> None:
    """Run what has been put off, and put off nothing more: for clients whose threads use it."""
    with IMPORTS:
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Rare)]
        load_rare()
