"""The stand-ins have one clock."""

from __future__ import annotations

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
