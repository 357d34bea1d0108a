"""Commands as in the cloud: nothing leads them to the local stack but Google's hosts and this machine's credentials."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bqdump_local.execute import execute
from bqdump_local.processes import TaskLine
from integration.googles_hosts import GooglesHosts
from integration.googles_tokens import EMAIL, IAM, OAUTH
from integration.stage import COMMAND, Ran, Stage

NO_METADATA = {"NO_GCE_CHECK": "true"}


def variables(stage: Stage, google: GooglesHosts) -> dict[str, str]:
    """The environment: the three settings, and the way to Google."""
    own = {name: value for name, value in stage.variables.items() if name not in stage.stack.variables()}
    return own | google.variables()


def call(
    stage: Stage,
    google: GooglesHosts,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    without: Iterable[str] = (),
    seconds: float = 300,
) -> subprocess.CompletedProcess[str]:
    """A command of one process; fails where it takes longer."""
    everything = variables(stage, google) | {"PATH": os.environ["PATH"], "HOME": str(stage.folder), **(env or {})}
    return subprocess.run(
        [sys.executable, "-m", "bqdump", *arguments], cwd=stage.folder, capture_output=True, text=True,
        timeout=seconds, check=False, env={name: each for name, each in everything.items() if name not in without},
    )  # fmt: skip


def run_tasks(stage: Stage, google: GooglesHosts, *arguments: str, tasks: int = 2, **env: str) -> Ran:
    """An execution of `bqdump run`."""
    lines: list[TaskLine] = []
    done = asyncio.run(
        execute([*COMMAND, *arguments], tasks=tasks, env=variables(stage, google) | env, cwd=stage.folder,
                on_output=lines.append, max_retries=0, task_timeout=300)
    )  # fmt: skip
    return Ran(done, lines)


def key_file(folder: Path) -> dict[str, str]:
    """The environment with a service account's key."""
    key = rsa.generate_private_key(65537, 2048)
    encoding: Any = serialization.Encoding.PEM
    pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    return file_of(folder, {
        "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": pem,
        "client_email": EMAIL, "client_id": "1", "token_uri": f"https://{OAUTH}/token",
    })  # fmt: skip


USER = {"type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//refresh"}


def user_file(folder: Path) -> dict[str, str]:
    """The environment with what `gcloud auth application-default login` leaves."""
    return file_of(folder, USER)


def impersonation_file(folder: Path) -> dict[str, str]:
    """The environment of a user who acts as a service account."""
    url = f"https://{IAM}/v1/projects/-/serviceAccounts/{EMAIL}:generateAccessToken"
    return file_of(folder, {
        "type": "impersonated_service_account", "service_account_impersonation_url": url, "delegates": [],
        "source_credentials": USER,
    })  # fmt: skip


def file_of(folder: Path, document: object) -> dict[str, str]:
    """The environment with a file of credentials of this content, and without a metadata server."""
    file = folder / "credentials.json"
    file.write_text(json.dumps(document))
    return {"GOOGLE_APPLICATION_CREDENTIALS": str(file), **NO_METADATA}
