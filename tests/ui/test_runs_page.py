"""The first page of the console: search across runs, times in words, and the days with a complete run."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from bqdump.observe.history import RunLine, RunState
from bqdump.ui.calendar import calendar
from browser.scenes import nights, older, shop
from browser.site import Site
from ui.test_app import ask


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    scene = shop()
    asyncio.run(nights(scene, 6))
    asyncio.run(older(scene, 60))
    served = Site(scene.store, scene.settings)
    yield served
    served.close()


def listed(page: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/runs/([^"]*)">', page)


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("nightly-0005", ["nightly-0005"]),
        ("NIGHTLY-0005", ["nightly-0005"]),
        ("failed", ["nightly-0002"]),
        ("partial", ["nightly-0003"]),
        ("published", ["nightly-0005"]),
        ("no-such", []),
    ],
)
def test_runs_are_searched_by_name_and_state(site: Site, text: str, runs: list[str]) -> None:
    page = ask(site, f"/?q={text}")[2]
    assert listed(page) == runs
    assert f"{len(runs)} of 66 runs" in page
    assert ("No run has" in page) is (not runs)


def test_a_search_looks_at_runs_of_every_page_and_is_kept_from_page_to_page(site: Site) -> None:
    assert listed(ask(site, "/?q=older-0001")[2]) == ["older-0001"]
    page = ask(site, "/?q=older")[2]
    assert len(listed(page)) == 50
    assert re.search(r'href="\?[^"]*q=older[^"]*">Next', page)
    assert len(listed(ask(site, "/?q=older&page=2")[2])) == 10


def test_what_is_searched_for_cannot_become_markup(site: Site) -> None:
    page = ask(site, "/?q=%22%3E%3Cscript%3E")[2]
    assert "<script>" not in page
    assert "&#34;&gt;&lt;script&gt;" in page


def test_times_are_shown_in_utc_and_in_words(site: Site) -> None:
    page = ask(site, "/")[2]
    times = re.findall(r' UTC</time><br><span class="soft small">(just now|\d+ (?:day|hour|minute)s? ago)</span>', page)
    assert len(times) == 50


def line(run: str, when: date, state: RunState = "complete") -> RunLine:
    taken = datetime(when.year, when.month, when.day, 3, tzinfo=UTC)
    return RunLine(run=run, state=state, published=False, snapshot_time=taken)


# A Wednesday.
TODAY = date(2026, 12, 2)


def test_a_day_has_the_best_state_of_its_runs_and_days_without_a_run_are_seen() -> None:
    ago = [TODAY - timedelta(days) for days in range(5)]
    lines = [line("a", ago[4], "failed"), line("b", ago[4]), line("c", ago[3], "partial"), line("d", ago[1], "failed")]
    shown = calendar(lines, TODAY)
    assert [(day.tip, day.tone) for day in shown.days] == [
        ("2026-11-28: 1 failed, 1 complete", "work"),
        ("2026-11-29: 1 partial", "late"),
        ("2026-11-30: no run", "none"),
        ("2026-12-01: 1 failed", "fell"),
        ("2026-12-02: no run", "none"),
    ]
    assert [(day.column, day.row) for day in shown.days] == [(0, 5), (0, 6), (1, 0), (1, 1), (1, 2)]
    assert shown.sentence == "complete on 1 of 5 days"


def test_the_calendar_has_at_most_13_weeks_and_what_is_not_over_is_not_complete() -> None:
    shown = calendar([line("old", TODAY - timedelta(400)), line("now", TODAY, "running")], TODAY)
    assert {day.column for day in shown.days} == set(range(13))
    assert shown.days[-1] == ("2026-12-02: 1 running", "wait", 12, 2)
    assert not [day for day in shown.days if day.tone == "work"]
    assert calendar([], TODAY).sentence == "complete on 0 of 1 day"


def test_the_first_page_draws_the_days(site: Site) -> None:
    page = ask(site, "/")[2]
    assert re.search(r'<svg class="days" height="112" role="img" aria-label="Days: complete on \d+ of \d+ days?"', page)
