"""One local stack and one dataset for all tests of formats; every export is made once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bqdump_local.stack import running
from formats.exports import Exports
from integration.stage import Stage


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    """The dataset and its exports; this process's clients are led to the stack."""
    with running(root=tmp_path_factory.mktemp("buckets")) as stack, pytest.MonkeyPatch.context() as patch:
        for name, value in stack.variables().items():
            patch.setenv(name, value)
        stage = Stage(stack, tmp_path_factory.mktemp("stage"))
        try:
            yield Exports(stage)
        finally:
            stage.close()
