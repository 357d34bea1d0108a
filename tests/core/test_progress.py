"""From what happens in a run to numbers: literals in, literals out."""

from __future__ import annotations

import msgspec
import pytest

from bqdump.core.dealing import JOB_WEIGHT
from bqdump.core.documents.notes import Restored, RestoreFailure
from bqdump.core.documents.run import Failure, Owner, Plan, Receipt, Share, Split
from bqdump.core.progress.events import (
    Advanced,
    Checked,
    Checking,
    Entered,
    Event,
    Looked,
    Restoring,
    Started,
    TableStarted,
    TaskState,
)
from bqdump.core.progress.tally import (
    Progress,
    Slow,
    TaskView,
    View,
    clock_text,
)

GB = 1_000_000_000


def plan(tables: int = 4, bytes_: int = 4 * GB) -> Plan:
    return Plan(
        run="nightly", tool="0", nonce="n", project="p", dataset="d", location="EU", snapshot=0, mode="replace",
        settings={}, digest="", units="", shares=(Share(0, 0, tables, bytes_, 0),), tables=tables, rows=0, bytes=bytes_,
        skipped=(), excluded=0,
    )  # fmt: skip


def started(unit: str, size: int = GB, task: int = 0) -> Started:
    return Started(unit, f"table_{unit}", size, task)


def receipt(unit: str, task: int = 0) -> Receipt:
    return Receipt(unit, f"table_{unit}", "job", 0, 1, 0, 0, 0, task)


def failure(unit: str) -> Failure:
    return Failure(unit, f"table_{unit}", "job", 0, "invalid", "no", Owner("e", 0))


def seen(*events: tuple[float, Event], at: float) -> View:
    progress = Progress()
    for when, event in events:
        progress.take(event, when)
    return progress.view(at)


def test_before_there_is_a_plan_nothing_is_known() -> None:
    view = seen(at=3.0)
    assert (view.stage, view.tables, view.fraction, view.seconds, view.seconds_left) == ("planning", 0, 0.0, 0.0, None)
    assert view.sentence() == "planning"


def test_counts_bytes_and_time_left_follow_from_what_is_done() -> None:
    view = seen(
        (10.0, plan()), (10.0, started("a")), (10.0, started("b")), (10.0, started("c")), (20.0, receipt("a")), at=20.0
    )
    assert (view.done, view.running, view.waiting, view.failed) == (1, 2, 1, 0)
    assert (view.bytes, view.bytes_done, view.seconds, view.rate) == (4 * GB, GB, 10.0, GB / 10)
    assert view.fraction == pytest.approx(0.25)
    assert view.seconds_left == pytest.approx(30.0)
    assert view.sentence() == (
        "exporting: 1 of 4 tables done, 2 running, 1 GB of 4 GB, 100 MB/s, about 0:30 left"
    )  # fmt: skip


def test_tables_without_bytes_are_work_as_well() -> None:
    view = seen((0.0, plan(4, 0)), (0.0, started("a", 0)), (2.0, receipt("a")), at=2.0)
    assert view.seconds_left == pytest.approx(6.0)
    assert view.fraction == pytest.approx(0.25)
    assert view.rate == 0


def test_a_long_table_moves_the_bar_while_it_is_read() -> None:
    events: list[tuple[float, Event]] = [(0.0, plan(2, 4 * GB)), (0.0, started("a", 3 * GB)), (0.0, started("b", GB))]
    read: list[tuple[float, Event]] = [(number * 10.0, Advanced("a", number * 100, 400)) for number in (1, 2, 3)]
    views = [seen(*events, *read[:number], at=number * 10.0) for number in (1, 2, 3)]
    assert [view.bytes_done for view in views] == [3 * GB // 4, 6 * GB // 4, 9 * GB // 4]
    assert [view.fraction for view in views] == sorted(view.fraction for view in views)
    assert views[0].fraction > 0
    assert (views[2].done, views[2].running) == (0, 2)
    assert views[2].rate == pytest.approx(75_000_000)
    assert views[2].seconds_left == pytest.approx(30 * (7 / 4 * GB + 2 * JOB_WEIGHT) / (9 / 4 * GB))
    assert [slow.read for slow in views[2].slowest] == [9 * GB // 4, 0]
    done = seen(*events, *read, (40.0, receipt("a")), at=40.0)
    assert (done.bytes_done, done.done) == (3 * GB, 1)


@pytest.mark.parametrize(
    ("event", "bytes_done"),
    [(Advanced("a", 500, 400), 3 * GB), (Advanced("a", 7, 0), 0), (Advanced("z", 7, 9), 0), (failure("a"), 0)],
)
def test_more_rows_than_planned_an_unknown_number_and_another_attempt_are_no_surprise(
    event: Event, bytes_done: int
) -> None:
    begun = (0.0, plan(2, 4 * GB)), (0.0, started("a", 3 * GB))
    assert seen(*begun, (1.0, event), at=2.0).bytes_done == bytes_done
    again = seen(*begun, (1.0, Advanced("a", 300, 400)), (2.0, Advanced("a", 100, 400)), at=3.0)
    assert again.bytes_done == 3 * GB // 4


def test_the_time_left_is_unknown_before_something_is_done() -> None:
    assert seen((0.0, plan()), (0.0, started("a")), at=100.0).seconds_left is None


def test_failed_tables_are_no_work_any_more() -> None:
    view = seen(
        (0.0, plan(3, 3 * GB)),
        (0.0, started("a")),
        (0.0, started("b")),
        (5.0, receipt("a")),
        (5.0, failure("b")),
        at=5.0,
    )
    assert (view.done, view.running, view.failed, view.waiting) == (1, 0, 1, 1)
    assert view.seconds_left == pytest.approx(5.0)
    assert "1 failed" in view.sentence()


def test_nothing_is_left_when_every_table_has_ended() -> None:
    ends = (1.0, receipt("a")), (2.0, failure("b"))
    view = seen((0.0, plan(2, 2 * GB)), (0.0, started("a")), (0.0, started("b")), *ends, at=2.0)
    assert (view.fraction, view.seconds_left) == (1.0, 0.0)


def test_what_happens_twice_counts_once() -> None:
    once: list[tuple[float, Event]] = [(0.0, plan()), (0.0, started("a")), (4.0, receipt("a")), (4.0, failure("b"))]
    assert seen(*once, at=5.0) == seen(*(event for event in once for _ in range(2)), at=5.0)


def test_a_table_that_failed_and_is_tried_again_is_running_again() -> None:
    view = seen((0.0, plan()), (0.0, failure("a")), (1.0, started("a")), at=2.0)
    assert (view.running, view.failed) == (1, 0)
    done = seen((0.0, plan()), (0.0, failure("a")), (1.0, receipt("a")), at=2.0)
    assert (done.done, done.failed) == (1, 0)


def test_the_longest_running_come_first_and_not_more_than_three() -> None:
    view = seen((0.0, plan(9)), *((float(number), started(str(number), number)) for number in range(5)), at=10.0)
    assert view.slowest == (
        Slow("table_0", 0, 0, 10.0), Slow("table_1", 1, 0, 9.0), Slow("table_2", 2, 0, 8.0)
    )  # fmt: skip


def test_a_look_around_shows_what_others_do_and_have_done() -> None:
    look = Looked({unit: started(unit, task=3) for unit in "abc"}, {"a": receipt("a", 3)}, {"b": failure("b")})
    view = seen((0.0, plan()), (0.0, look), at=1.0)
    assert (view.done, view.running, view.failed, view.bytes_done) == (1, 1, 1, GB)
    assert view.tasks == (TaskView(3, 1, 1, GB, 0, ""),)


def test_what_was_done_before_watching_began_does_not_count_for_the_rate() -> None:
    first = Looked({unit: started(unit) for unit in "ab"}, {"a": receipt("a")}, {})
    second = Looked({unit: started(unit) for unit in "abc"}, {"a": receipt("a"), "b": receipt("b")}, {})
    early = seen((100.0, plan()), (100.0, first), at=105.0)
    assert (early.done, early.rate, early.seconds_left) == (1, 0.0, None)
    later = seen((100.0, plan()), (100.0, first), (110.0, second), at=110.0)
    assert later.rate == GB / 10
    assert later.seconds_left == pytest.approx(20.0)


def test_tasks_have_their_processes_and_their_work() -> None:
    view = seen(
        (0.0, TaskState(0, 0, "running")), (0.0, TaskState(1, 0, "running")), (0.0, plan()),
        (0.0, started("a", task=1)),
        (1.0, receipt("a", 1)), (2.0, TaskState(0, 1, "running")), (3.0, TaskState(1, 0, "succeeded")), at=3.0,
    )  # fmt: skip
    assert view.tasks == (TaskView(0, 0, 0, 0, 1, "running"), TaskView(1, 1, 0, GB, 0, "succeeded"))


def test_a_verification_counts_files() -> None:
    view = seen((5.0, Checking("reading", 4, 4 * GB)), (6.0, Checked(0, GB // 2)), (7.0, Checked(1, GB // 2)), at=15.0)
    assert (view.stage, view.things, view.tables, view.done) == ("reading", "file", 4, 1)
    assert (view.bytes_done, view.rate, view.fraction) == (GB, GB / 10, 0.25)
    assert view.seconds_left == pytest.approx(30.0)
    assert view.sentence() == "reading: 1 of 4 files done, 1 GB of 4 GB, 100 MB/s, about 0:30 left"


def test_reading_starts_anew_after_listing() -> None:
    view = seen((0.0, Checking("listing", 9, 0)), (1.0, Checked(9, 0)), (2.0, Checking("reading", 2, 10)), at=3.0)
    assert (view.stage, view.done, view.tables, view.seconds) == ("reading", 0, 2, 1.0)


def test_a_log_line_has_every_number() -> None:
    view = seen((0.0, plan()), (0.0, started("a")), (8.0, receipt("a")), (8.0, Entered("publishing")), at=8.0)
    assert view.numbers() == {
        "stage": "publishing", "tables": 4, "done": 1, "running": 0, "waiting": 3, "failed": 0, "bytes": 4 * GB,
        "bytes_done": GB, "seconds": 8.0, "bytes_per_second": GB // 8,
        "seconds_left": round(8.0 * 3 * (GB + JOB_WEIGHT) / (GB + JOB_WEIGHT), 1),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_durations_read_as_clocks_do(seconds: float, text: str) -> None:
    assert clock_text(seconds) == text


def test_a_shared_table_is_done_with_its_last_part_and_failed_with_its_first() -> None:
    shared = msgspec.structs.replace(
        plan(2, 3 * GB), shares=(Share(0, 0, 3, 3 * GB, 0),), splits=(Split("t", ("a", "b")),)
    )
    of_table = {"a": "t", "b": "t", "c": "table_c"}
    receipts = {unit: msgspec.structs.replace(receipt(unit), table=table) for unit, table in of_table.items()}
    events: list[tuple[float, Event]] = [(0.0, shared)]
    events += [(0.0, Started(unit, table, GB, 0)) for unit, table in of_table.items()]
    view = seen(*events, (2.0, receipts["a"]), (2.0, receipts["c"]), at=2.0)
    assert (view.tables, view.done, view.running, view.failed) == (2, 1, 1, 0)
    assert view.bytes_done == 2 * GB
    assert view.fraction == pytest.approx(2 / 3)
    assert (view.tasks[0].done, view.tasks[0].running) == (2, 1)
    done = seen(*events, *((2.0, one) for one in receipts.values()), at=2.0)
    assert (done.done, done.running, done.seconds_left) == (2, 0, 0)
    failed = seen(*events, (2.0, msgspec.structs.replace(failure("b"), table="t")), (3.0, receipts["a"]), at=3.0)
    assert (failed.done, failed.running, failed.failed) == (0, 1, 1)


def test_a_restore_shows_tables_and_the_bytes_of_their_files() -> None:
    progress = Progress()
    progress.take(Restoring("0123456789ab-1", "r1", 3, 3 * GB), 0.0)
    for number in range(3):
        progress.take(TableStarted(number, f"t{number}", GB, task=number % 2), 0.0)
    progress.take(Restored(0, "t0", "TABLE", 0, 0), 10.0)
    progress.take(RestoreFailure(1, "t1", "TABLE", 0, "invalid", "no", Owner("first", 1)), 10.0)
    view = progress.view(10.0)
    assert (view.stage, view.tables, view.done, view.running, view.failed) == ("restoring", 3, 1, 1, 1)
    assert (view.bytes, view.bytes_done, view.rate) == (3 * GB, GB, GB / 10)
    assert [slow.table for slow in view.slowest] == ["t2"]
