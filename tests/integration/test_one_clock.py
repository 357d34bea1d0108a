"""The stand-ins have one clock."""

from __future__ import annotations

import requests

from bqdump_local.stack import start, stop
from integration.stage import Stage


def test_all_services_follow_the_clock_of_the_stack(stage: Stage) -> None:
    stage.stack.clock(3 * 86_400)
    try:
        stage.store.bucket(stage.bucket).blob("later").upload_from_string("x")
        stored = stage.store.bucket(stage.bucket).get_blob("later").time_created
        (row,) = stage.big.query_and_wait("SELECT CURRENT_TIMESTAMP() AS now")
        assert abs((row["now"] - stored).total_seconds()) < 3600
    finally:
        stage.stack.clock(0)


def test_the_clock_can_be_set_at_any_service_and_is_that_of_all() -> None:
    stack, processes = start(cloud_run_port=0)
    services = [f"{address}/_local/clock" for address in (stack.storage, stack.bigquery, stack.cloud_run)]
    try:
        for seconds, service in enumerate(services, 1):
            requests.put(service, json={"offset_seconds": seconds * 86_400}, timeout=60).raise_for_status()
            shown = [requests.get(other, timeout=60).json()["offset_seconds"] for other in services]
            assert shown == [seconds * 86_400] * 3
    finally:
        stop(processes)
