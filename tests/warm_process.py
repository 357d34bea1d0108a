"""The process that `warm_start` forks: it has imported what commands import, and becomes a command on request.

A command has to find what it would find after a start of its own. So the packages that `lean_imports` leaves out are
imported first, set aside, and given out to a command that imports them; the others are imported as a command does. The
stand-ins of the local stack leave nothing out.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import io
import json
import logging
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from bqdump.adapters.lean_imports import HIDDEN, import_lean

# How many new objects there are before Python looks for cycles among them: few tests make so many that memory matters.
GC_THRESHOLD = 20_000
# Commands that start others.
STARTERS = ("demo", "local")
SET_ASIDE = (
    "bqdump_local.bigquery.app",
    "bqdump_local.bigquery.storage_read.server",
    "bqdump_local.control",
    "bqdump_local.operations",
    "bqdump_local.storage.app",
    "duckdb",
    "google.cloud.bigquery_storage_v1",
    "grpc.experimental",
    "polars",
    "pyarrow.compute",
    "pyarrow.parquet",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
# Of these packages, whatever a command imports when it needs it: none of it imports a package of an extra.
OWN = ("check", "cli", "copying", "export", "observe", "render", "restoration", "retain", "sets", "verbs")
IMPORTED = (
    "bqdump.adapters.bigquery.warehouse",
    "bqdump.adapters.bigquery.destination",
    "bqdump.adapters.gcs.store",
    "bqdump.adapters.bigquery.gate",
    "bqdump.adapters.retry",
    "bqdump.services.opened",
    "bqdump_local.demo",
    "bqdump_local.execute",
    "bqdump_local.seed",
    "bqdump_local.state",
    "encodings.idna",
    "google.cloud.bigquery",
    "google.resumable_media.requests",
)  # fmt: skip


class SetAside(MetaPathFinder, Loader):
    """Gives out modules that have been imported before."""

    def __init__(self, modules: dict[str, ModuleType]) -> None:
        self._modules = modules
        self._specs = {name: module.__spec__ for name, module in modules.items()}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See the base class."""
        return ModuleSpec(fullname, self) if fullname in self._modules and fullname not in HIDDEN else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """See the base class."""
        return self._modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """It has been executed before."""
        module.__spec__ = self._specs[module.__name__]


def prepare() -> None:
    """Import what commands import, and compile the page that runs write and the types of documents."""
    import msgspec

    # gRPC reads it once, with its import; a command sets it before.
    os.environ["GRPC_VERBOSITY"] = "NONE"
    before = set(sys.modules)
    for name in SET_ASIDE:
        importlib.import_module(name)
    # Modules of the project stay: they are complete only together.
    found = {name for name in set(sys.modules) - before if not name.startswith("bqdump")}
    sys.meta_path.insert(0, SetAside({name: sys.modules.pop(name) for name in found}))
    import_lean()
    for name in IMPORTED:
        importlib.import_module(name)
    for name in OWN:
        package = importlib.import_module(f"bqdump.{name}")
        for module in pkgutil.walk_packages(package.__path__, f"bqdump.{name}."):
            importlib.import_module(module.name)

    from bqdump.pages.templating import environment

    for name in environment().list_templates(extensions=["html"]):
        environment().get_template(name)
    for kind in subclasses(msgspec.Struct):
        if kind.__module__.startswith("bqdump.core."):
            # Not every struct is a document.
            with suppress(TypeError):
                msgspec.json.Decoder(kind)


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    """All classes that derive from this one."""
    derived: type[Any]
    for derived in kind.__subclasses__():
        yield derived
        yield from subclasses(derived)


def serve(server: socket.socket) -> str:
    """Answer requests with the id of a new process; returns in this process only: the module that it is to run."""
    while True:
        head, streams, _, _ = socket.recv_fds(server, 4, 3)
        if not head:
            sys.exit()
        request = server.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL)
        ours, theirs = os.pipe()
        # The new process is an orphan at once, and so becomes a child of the one that has made the request.
        if not (between := os.fork()):
            if os.fork():
                os._exit(0)
            server.close()
            os.close(ours)
            return become(json.loads(request), streams, theirs)
        os.close(theirs)
        os.waitpid(between, 0)
        server.sendall(os.read(ours, 4))
        for number in (ours, *streams):
            os.close(number)


def become(request: dict[str, Any], streams: Sequence[int], report: int) -> str:
    """Take on process group, streams, folder, environment and arguments; returns the module to run.

    The process id is reported as soon as a signal to its group would reach it.
    """
    if request["session"]:
        os.setsid()
    elif request["group"] >= 0:
        os.setpgid(0, request["group"])
    os.write(report, os.getpid().to_bytes(4, "big"))
    os.close(report)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    module: str = request["module"]
    if module == "bqdump" and request["arguments"][:1] and request["arguments"][0] in STARTERS:
        ours, theirs = socket.socketpair()
        if not os.fork():
            ours.close()
            return wait_for_starts(theirs, streams)
        theirs.close()
        warm_start.install(warm_start.WarmStart(ours))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    stdin, stdout, stderr = (io.FileIO(number, mode, closefd=False) for number, mode in enumerate("rww"))
    sys.stdin = io.TextIOWrapper(io.BufferedReader(stdin), "utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(stdout), "utf-8", line_buffering=os.isatty(1))
    sys.stderr = io.TextIOWrapper(io.BufferedWriter(stderr), "utf-8", "backslashreplace", line_buffering=True)
    vars(sys).update(__stdin__=sys.stdin, __stdout__=sys.stdout, __stderr__=sys.stderr)
    if not request["safe_path"]:
        sys.path.insert(0, request["folder"])
    if module != "bqdump":
        leave_nothing_out()
    sys.argv = [module, *request["arguments"]]
    sys.orig_argv = [sys.executable, "-m", *sys.argv]
    gc.set_threshold(GC_THRESHOLD)
    gc.enable()
    return module


def wait_for_starts(server: socket.socket, streams: Sequence[int]) -> str:
    """Serve a command that starts others: from a process that is as warm as that command was before it began.

    It lasts as long as the command, and holds none of the streams that someone may read to their end.
    """
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    for number in streams:
        os.close(number)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)
    return serve(server)


def leave_nothing_out() -> None:
    """Take back what `import_lean` has done."""
    from bqdump.adapters.lean_imports import UNUSED, allow, put_nothing_off

    put_nothing_off()
    for name in UNUSED:
        allow(name)


def run(module: str) -> None:
    """Run a module as a program, or the program that is the first argument."""
    if module == "-c":
        exec(compile(sys.argv.pop(1), "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def end(ended: SystemExit) -> None:
    """End as Python does, without taking apart one by one what the process is made of: that would copy its memory."""
    if not isinstance(ended.code, int):
        raise ended
    # What follows is CPython's own, and not in its types.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        raise ended from None
    os._exit(ended.code)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    import warm_start

    del sys.path[0]
    gc.disable()
    prepare()
    # What libraries have registered takes memory apart, which each command would copy for it.
    atexit._clear()
    atexit.register(logging.shutdown)
    gc.collect()
    gc.freeze()
    module = serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        run(module)
    except SystemExit as ended:
        end(ended)
    end(SystemExit(0))
