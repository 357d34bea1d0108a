"""The documentation takes what the services have answered from files of bqdump check-service."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from bqdump.cli.output import json_text
from bqdump.core.formats.fidelity import CELLS
from bqdump.core.formats.types import TYPES
from bqdump.core.times import time_of
from bqdump_claims.claims import CLAIMS
from bqdump_claims.result import ServiceCheck, TriedClaim, Verdict
from bqdump_reference.pages import CLAIMS_PAGE, CONFIRMED, FORMATS, with_claims, with_types
from bqdump_reference.types_page import read_confirmed
from docs.walk import ROOT

DAY = 24 * 3600 * 1000
NOVEMBER_26 = 1_795_651_200_000
PAGES = (ROOT / FORMATS).read_text(), (ROOT / CLAIMS_PAGE).read_text()


def checked(folder: Path, name: str, day: int, /, google: bool = True, **verdicts: str) -> None:
    """Put a file into the folder. verdicts: by a claim's id, with _ for the dots."""
    claims = [TriedClaim(id_.replace("_", "."), Verdict(one), "", "", {}, {}) for id_, one in verdicts.items()]
    made = ServiceCheck(version="1", date=time_of(NOVEMBER_26 + day * DAY), google=google, location="US", seconds=1.0,
                        expected_bytes_billed=0, claims=tuple(claims))  # fmt: skip
    (folder / name).write_text(json_text(made))


def row(folder: Path, start: str) -> str:
    page = with_types(PAGES[0], read_confirmed(folder))
    return next(line for line in page.splitlines() if line.startswith(start))


def test_a_confirmed_point_has_the_date_instead_of_a_mark(tmp_path: Path) -> None:
    checked(tmp_path, "a.json", 0, csv_TIME_extract="confirmed", csv_TIME_query="confirmed")
    assert row(tmp_path, "| TIME | extract, query | 23:59") == (
        "| TIME | extract, query | 23:59:59.999999 (confirmed on 2026-11-26) |  |  |"
    )
    assert "23:59:59.999999 (confirmed" not in PAGES[0]


def test_claims_that_differ_in_the_type_share_a_row_until_the_answers_differ(tmp_path: Path) -> None:
    checked(tmp_path, "a.json", 0, loads_csv_TIME="confirmed", loads_csv_DATE="confirmed")
    page = with_claims(PAGES[1], read_confirmed(tmp_path))
    loads = "[the type loads back from an extract's csv file as the same value](../formats.md#csv) |"
    assert f"| `loads.csv.DATE`, `loads.csv.TIME` | {loads} (confirmed on 2026-11-26) |" in page
    assert f"`loads.csv.BOOL` | {loads} † |" in page


def test_every_claim_is_on_one_of_the_two_pages() -> None:
    listed = {id_ for line in PAGES[1].splitlines() if line.startswith("| `") for id_ in re.findall("`([^`]+)`", line)}
    cells = {f"{format_}.{type_}.{route}" for route, formats in CELLS.items() for format_ in formats for type_ in TYPES}
    assert {claim.id for claim in CLAIMS} <= listed | cells


def test_what_differs_is_marked_and_the_newest_answer_counts(tmp_path: Path) -> None:
    checked(tmp_path, "b.json", 0, csv_TIME_extract="confirmed", csv_TIME_query="confirmed")
    checked(tmp_path, "a.json", 1, csv_TIME_query="different")
    assert "23:59:59.999999 (**BigQuery differs**, seen on 2026-11-27) |" in row(
        tmp_path, "| TIME | extract, query | 23"
    )
    checked(tmp_path, "c.json", 2, csv_TIME_query="confirmed")
    assert "23:59:59.999999 (confirmed on 2026-11-26) |" in row(tmp_path, "| TIME | extract, query | 23")


@pytest.mark.parametrize(
    "verdicts",
    [{"csv_TIME_extract": "confirmed"}, {"csv_TIME_extract": "confirmed", "csv_TIME_query": "not tried"},
     {"google": False, "csv_TIME_extract": "confirmed", "csv_TIME_query": "confirmed"}, {}],
)  # fmt: skip
def test_half_an_answer_and_that_of_stand_ins_confirm_nothing(tmp_path: Path, verdicts: dict[str, Any]) -> None:
    checked(tmp_path, "a.json", 0, **verdicts)
    assert with_types(PAGES[0], read_confirmed(tmp_path)) == with_types(PAGES[0])


def test_any_other_file_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text(json.dumps({"claims": 7}))
    with pytest.raises(ValueError, match=r"notes\.json is not a file of bqdump check-service --output"):
        read_confirmed(tmp_path)


def test_the_pages_are_as_the_confirmed_files_say() -> None:
    confirmed = read_confirmed(ROOT / CONFIRMED)
    assert with_types(PAGES[0], confirmed) == PAGES[0]
    assert with_claims(PAGES[1], confirmed) == PAGES[1]


def test_every_doubt_in_formats_is_tried_by_a_claim() -> None:
    """If all claims were confirmed, no row would have a mark."""
    page = with_types(PAGES[0])
    tried = {claim.id for claim in CLAIMS}
    format_, doubts = "", set[str]()
    for line in page.splitlines():
        if line.startswith("### "):
            format_ = line.removeprefix("### ").partition(",")[0].lower()
        elif line.startswith("| ") and "†" in line:
            type_, routes = line.split(" | ")[0].removeprefix("| "), line.split(" | ")[1].split(", ")
            doubts |= {f"{format_}.{type_}.{route}" for route in routes}
    assert doubts
    assert doubts <= tried


def test_every_doubt_in_a_sentence_names_claims_that_try_it() -> None:
    doubts = [
        line
        for page in ROOT.glob("docs/**/*.md")
        if page.name != "claims.md"
        for line in page.read_text().splitlines()
        # Rows of types have their claims, see above; some sentences are about the mark.
        if "†" in line
        and not re.match(r"\| [A-Z0-9]+ \||† marks|† of each|.*are marked †|.*replaces the †|.*has a †", line)
    ]
    assert len(doubts) == 2
    for line in doubts:
        patterns = re.findall(r"†, \[`([^`]+)`\]\((?:\.\./)?(?:internals/)?claims\.md#claims\)", line)
        assert len(patterns) == line.count("†")
        assert all(any(fnmatchcase(claim.id, pattern) for claim in CLAIMS) for pattern in patterns)
