"""bqdump keys: makes the keys that sign manifests."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path

import click

from bqdump.cli.options import Command, Subcommands
from bqdump.core.errors import UsageError

PRIVATE, PUBLIC = ".key", ".pub"


@click.group(cls=Subcommands)
def keys() -> None:
    """Make keys that sign manifests.

    \b
    Examples:
      bqdump keys new signing
    """


@keys.command(cls=Command)
@click.argument("name")
def new(name: str) -> None:
    """Write a new Ed25519 key to NAME.key and its public key to NAME.pub, in PEM.

    \b
    Examples:
      bqdump keys new signing && bqdump run --sign signing.key
      bqdump verify --trust signing.pub
    """
    # It takes a while to import.
    from bqdump.adapters.signing_keys import new_pair

    private, public, key_id = new_pair()
    with ExitStack() as undo:
        for path, content, mode in ((f"{name}{PRIVATE}", private, 0o600), (f"{name}{PUBLIC}", public, 0o644)):
            _create(path, content, mode)
            undo.callback(Path(path).unlink)
        undo.pop_all()
    sys.stdout.write(
        f"{key_id}\n"
        f"{name}{PRIVATE} signs: `--sign {name}{PRIVATE}`. Store it as a secret, away from the exports.\n"
        f"{name}{PUBLIC} proves: `--trust {name}{PUBLIC}`. It is not secret; keep it where exports are restored.\n"
    )


def _create(path: str, content: bytes, mode: int) -> None:
    """Write a new file. Raises UsageError, also for one that exists."""
    try:
        descriptor = os.open(Path(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        hint = "Use another name: anything signed with the key of that name could no longer be verified."
        raise UsageError("make", path, "it exists", hint) from None
    except OSError as error:
        hint = "Use another name."
        if isinstance(error, FileNotFoundError):
            hint = f"Create the folder first: mkdir -p {shlex.quote(str(Path(path).parent))}"
        raise UsageError("make", path, (error.strerror or str(error)).lower(), hint) from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
