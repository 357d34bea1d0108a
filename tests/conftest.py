"""Settings that every test needs."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test sees no setting, task variable or credential of whoever runs it."""
    outside = ("BQDUMP_", "CLOUD_RUN_", "BATCH_", "AWS_BATCH_", "JOB_COMPLETION", "GOOGLE_")
    for name in list(os.environ):
        if name.startswith(outside) or name in ("PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET"):
            monkeypatch.delenv(name)
