"""A second opinion on 185 raw requests to Cloud Storage: fake-gcs-server, which shares no code with the local stack."""

from __future__ import annotations

import fnmatch
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

from local.storage_server import storage_server
from witness.storage_requests import Server, cases
from witness.test_fake_gcs_server import served

DIFFERENCES = Path(__file__).parent / "second_opinion.toml"


def reasons() -> list[dict[str, Any]]:
    """The requests that are answered differently, in groups with their reason."""
    return list(tomllib.loads(DIFFERENCES.read_text(encoding="utf-8"))["group"])


def test_both_answer_alike_except_where_a_reason_is_known() -> None:
    named = [pattern for group in reasons() for pattern in group["cases"]]
    found, used = {}, set()
    with storage_server() as ours, served() as theirs, Server(ours) as one, Server(theirs) as other:
        for case in cases():
            found[case.name] = (one.answer(case), other.answer(case))
    problems = []
    for name, (mine, yours) in found.items():
        listed = [pattern for pattern in named if fnmatch.fnmatchcase(name, pattern)]
        used |= set(listed)
        if mine != yours and not listed:
            problems.append(f"{name}: {mine} here, {yours} there")
        if mine == yours and listed:
            problems.append(f"{name}: the same, although {listed[0]} is listed")
    assert len(found) == 185
    assert problems == []
    assert sorted(set(named) - used) == []
    assert [pattern for pattern, times in Counter(named).items() if times > 1] == []
