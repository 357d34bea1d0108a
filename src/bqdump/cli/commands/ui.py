"""bqdump ui: a web console on localhost."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import suppress
from typing import Any

import click

from bqdump.cli.options import Command, finish, load_settings, settings_options
from bqdump.core.errors import UsageError, install_hint
from bqdump.services.keys import remembering, with_signed_drills
from bqdump.services.opened import Services, serve


@click.command(cls=Command, needs=("bucket",))
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=8642,
    show_default=True,
    help="Port to listen on; 0 for any free port.",
)
@settings_options("rpo", "rto", "trust")
def ui(port: int, **options: Any) -> None:
    """Browse runs, tables and files. Read-only server on localhost; stop with Ctrl-C.

    \b
    Examples:
      bqdump ui --bucket my-exports
      bqdump ui --bucket my-exports --prefix nightly --port 9000
      bqdump ui --to ./exports
    """
    settings = load_settings(options, ("bucket",))
    if not all(importlib.util.find_spec(name) for name in ("starlette", "uvicorn")):
        cause = "the console's packages are not installed"
        raise UsageError("serve the console", "bqdump ui", cause, install_hint("ui"))
    from bqdump.ui.app import serve as serve_console

    async def work(services: Services) -> None:
        store = with_signed_drills(services.store_at, settings)(settings.target)
        # A bucket that does not exist is an error of the command, not of each page.
        await store.folders(settings.layout.runs)
        await serve_console(store, settings, port, listening, remembering(store, settings))

    def listening(address: str) -> None:
        sys.stdout.write(f"The console is at {address} until Ctrl-C\n")
        sys.stdout.flush()

    # Ctrl-C is the regular way to stop it.
    with suppress(KeyboardInterrupt):
        finish(serve(settings, work))
