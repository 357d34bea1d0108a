"""A DAG with the operator of Composer's recipe, whose code is in RECIPE. As a program: `airflow dags test` of it.

Only the address of Cloud Run is another one: that in CLOUD_RUN_ADDRESS.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import Any

from airflow.providers.google.cloud.hooks.cloud_run import CloudRunAsyncHook, CloudRunHook
from airflow.sdk import DAG
from google.auth.credentials import AnonymousCredentials
from google.cloud.run_v2 import JobsClient
from google.cloud.run_v2.services.jobs.transports import JobsRestTransport


def client(*_: Any, **__: Any) -> JobsClient:
    """Google's client of the stand-in."""
    scheme, host = os.environ["CLOUD_RUN_ADDRESS"].split("://")
    return JobsClient(transport=JobsRestTransport(host=host, url_scheme=scheme, credentials=AnonymousCredentials()))


async def client_of_triggerer(hook: CloudRunAsyncHook, **_: Any) -> JobsClient:
    """The same; it is not awaited."""
    hook.transport = "rest"
    return client()


CloudRunHook.get_conn = client
CloudRunAsyncHook.get_conn = client_of_triggerer
dag = DAG("nightly", schedule=None)
with dag:
    exec(os.environ["RECIPE"])
dag.tasks[0].polling_period_seconds = 0.2

if __name__ == "__main__":
    ended = dag.test(logical_date=datetime(2026, 1, 31, 3, tzinfo=UTC))
    sys.exit(ended.state != "success")
