"""No secret reaches a log line, a document in the bucket, or an error."""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import islice
from pathlib import Path

from bqdump_local.execute import execute
from bqdump_local.seed import dummies, seed
from bqdump_local.stack import running

SECRETS = {
    "GOOGLE_APPLICATION_CREDENTIALS": "/nowhere/planted-secret-path.json",
    "GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.planted-secret-token",
    "BQDUMP_SALT": "planted-secret-salt",
    "DB_PASSWORD": "planted-secret-password",
}


def test_planted_secrets_are_in_no_output_of_a_run(tmp_path: Path) -> None:
    lines: list[str] = []
    with running(root=tmp_path) as stack:
        seed(stack, project="project", dataset="data", bucket="source", target="target", sources=islice(dummies(), 3))
        settings = {"PROJECT_ID": "project", "SOURCE_DATASET": "data", "DESTINATION_BUCKET": "target"}
        for extra in ({}, {"SOURCE_DATASET": "unknown"}):
            asyncio.run(
                execute(
                    [sys.executable, "-m", "bqdump", "run"], tasks=2, max_retries=0,
                    env=settings | extra | SECRETS | stack.variables(),
                    on_output=lambda line: lines.append(line.text),
                )
            )  # fmt: skip
    stored = [Path(folder, file).read_bytes() for folder, _, files in os.walk(tmp_path / "target") for file in files]
    assert len(stored) > 20
    assert any("published" in line for line in lines)
    assert not any(b"planted-secret" in data for data in stored)
    assert not any("planted-secret" in line for line in lines)
