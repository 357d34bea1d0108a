"""The local stack as a fixture, for the tests of any project: `from bqdump_local.pytest import bigquery_stack`.

Nothing happens in projects that do not import it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from bqdump_local.stack import Stack, running


@pytest.fixture(scope="session")
def bigquery_stack() -> Iterator[Stack]:
    """BigQuery and Cloud Storage, empty, until the last test has ended.

    Variables of the environment point Google's clients to them; they need credentials, such as `AnonymousCredentials`.
    """
    with running() as stack:
        variables = stack.variables()
        before = {name: os.environ.get(name) for name in variables}
        os.environ.update(variables)
        try:
            yield stack
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
