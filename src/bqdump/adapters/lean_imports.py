"""Skips or defers imports of Google's clients, which take most of a task's start-up time.

It is not needed for correctness: without it, the same packages are imported at once.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
import threading
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

# Optional imports of Google's clients that an export does not need.
UNUSED = ("pandas", "pyarrow", "geopandas", "IPython", "opentelemetry", "grpc", "chardet", "charset_normalizer")
# What requests says without the last two: it reads text without a charset as UTF-8, which all of Google's is.
WITHOUT_CHARSETS = "Unable to find acceptable character detection dependency"
# Unconditional imports of Google's clients and requests that an export rarely needs: for keys of service accounts,
# errors of gRPC, uploads by XML, hosts that are not ASCII, and e-mail by newer rules than those of HTTP.
RARE = (
    "email.policy",
    "google.auth.crypt",
    "google.auth.iam",
    "google.auth.jwt",
    "google.protobuf.duration_pb2",
    "google.protobuf.timestamp_pb2",
    "google.rpc.error_details_pb2",
    "idna",
    "xml.etree.ElementTree",
)

# The modules of UNUSED that are not found for now.
HIDDEN: set[str] = set()

# Held while one of Google's clients is imported next to other threads, or a deferred module is loaded. A deferred
# module exists before it is loaded, and a thread that uses it then would miss names in it.
IMPORTS = threading.RLock()


class Later:
    """A module that is imported when an attribute is first used, by any thread."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        with IMPORTS:
            module = importlib.import_module(self._name)
        return getattr(module, attribute)


class _Without(PathFinder):
    """Finds the modules of `sys.path`, except those of UNUSED: to every package these are not installed.

    None in `sys.modules` would hide them from `import` only. What looks there itself, such as compiled modules, would
    take the None for the module.
    """

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's specification; None for a hidden one."""
        return None if fullname in HIDDEN else super().find_spec(fullname, path, target)


class _Rare:
    """Finds the modules of RARE so that they are loaded when an attribute is first used."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's specification; None for every other module."""
        if fullname not in RARE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and spec.loader:
            spec.loader = importlib.util.LazyLoader(spec.loader)
        return spec


def import_lean() -> None:
    """From now on, import only what an export needs in this process."""
    HIDDEN.update(UNUSED)
    sys.meta_path[:] = [_Without if finder is PathFinder else finder for finder in sys.meta_path]
    warnings.filterwarnings("ignore", WITHOUT_CHARSETS)
    if not any(isinstance(finder, _Rare) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Rare())


def keep_imported() -> None:
    """Where imports are lean, this process is bqdump's alone: what they have made stays, and no garbage is among it."""
    if any(isinstance(finder, _Rare) for finder in sys.meta_path):
        gc.freeze()


def allow(name: str) -> None:
    """Make this module importable again, for the read route. Not safe while other threads import it."""
    HIDDEN.discard(name)


def load_rare() -> None:
    """Load deferred modules, before threads share them: loading is not thread-safe."""
    with IMPORTS:
        for name in RARE:
            if (module := sys.modules.get(name)) is not None:
                _ = module.__doc__


def put_nothing_off() -> None:
    """Load deferred modules, and defer no others: for clients that use them in threads."""
    with IMPORTS:
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Rare)]
        load_rare()
