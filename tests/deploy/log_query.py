"""Which log lines the filter of an alert or a metric selects, and which counted lines a query of Prometheus sums up."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

LABELS = "logging.googleapis.com/labels"
# Fields that Cloud Logging takes out of a JSON line.
SPECIAL = ("severity", "time", LABELS)
TOKEN = re.compile(r'\s*(\(|\)|=~|>=|<=|=|>|<|"(?:\\.|[^"\\])*"|[\w.-]+)')
SELECTOR = re.compile(r'logging_googleapis_com:user_(\w+)\{((?:[^"}]|"(?:\\.|[^"\\])*")*)\}\[(\d+)h\]')
MATCHER = re.compile(r'(\w+)(=~|=)("(?:\\.|[^"\\])*")')
Entry = Mapping[str, Any]


def entry(line: Mapping[str, Any], job: str) -> Entry:
    """A JSON line of a task of a Cloud Run job as Cloud Logging stores it."""
    return {
        "resource": {"type": "cloud_run_job", "labels": {"job_name": job}},
        "severity": line["severity"],
        "labels": line[LABELS],
        "jsonPayload": {key: value for key, value in line.items() if key not in SPECIAL},
    }


def entries(output: str, job: str) -> list[Entry]:
    """The entries of the JSON lines in a program's output."""
    lines = [json.loads(line) for line in output.splitlines() if line.startswith('{"severity"')]
    return [entry(line, job) for line in lines]


def field(stored: Entry, path: str) -> Any:
    """A field of an entry, "" where it is missing."""
    value: Any = stored
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    return value


def selects(filter_: str, stored: Entry) -> bool:
    """Whether a filter of Cloud Logging selects an entry: comparisons, AND, OR and parentheses."""
    tokens = TOKEN.findall(filter_)
    assert "".join(tokens) == re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', "", filter_), f"not understood: {filter_}"
    found = _either(tokens, stored)
    assert not tokens, tokens
    return found


def _either(tokens: list[str], stored: Entry) -> bool:
    found = _all(tokens, stored)
    while tokens and tokens[0] == "OR":
        tokens.pop(0)
        found = _all(tokens, stored) or found
    return found


def _all(tokens: list[str], stored: Entry) -> bool:
    found = _one(tokens, stored)
    while tokens and tokens[0] == "AND":
        tokens.pop(0)
        found = _one(tokens, stored) and found
    return found


def _one(tokens: list[str], stored: Entry) -> bool:
    if tokens[0] == "(":
        tokens.pop(0)
        found = _either(tokens, stored)
        assert tokens.pop(0) == ")"
        return found
    value, operator = field(stored, tokens.pop(0)), tokens.pop(0)
    return any(_compared(value, operator, text) for text in list(_values(tokens)))


def _values(tokens: list[str]) -> list[str]:
    if tokens[0] != "(":
        return [tokens.pop(0)]
    tokens.pop(0)
    found = [tokens.pop(0)]
    while (word := tokens.pop(0)) == "OR":
        found.append(tokens.pop(0))
    assert word == ")"
    return found


def _compared(value: Any, operator: str, text: str) -> bool:
    if operator == ">":
        return isinstance(value, int) and value > int(text)
    plain = text[1:-1] if text.startswith('"') else text
    if operator == "=~":
        return bool(re.search(plain, str(value)))
    assert operator == "="
    return str(value) == plain


class Counter:
    """A log-based metric. definition: as the API has it."""

    def __init__(self, definition: Mapping[str, Any]) -> None:
        self.name: str = definition["name"]
        self._filter = definition["filter"]
        self._labels = {name: text[len("EXTRACT(") : -1] for name, text in definition["labelExtractors"].items()}
        assert set(self._labels) == {label["key"] for label in definition["metricDescriptor"]["labels"]}

    def count(self, stored: Iterable[Entry]) -> list[dict[str, str]]:
        """The labels of each entry that it counts."""
        counted = [one for one in stored if selects(self._filter, one)]
        return [{name: str(field(one, path)) for name, path in self._labels.items()} for one in counted]


def summed(query: str, counters: Iterable[Counter], stored: Iterable[Entry]) -> int:
    """How many entries the query of an alert on something overdue sums up: if there are none, it fires."""
    (found,) = SELECTOR.finditer(query)
    assert query.startswith(f"(sum(increase({found[0]})) or vector(0)) < 0.5 and on() vector(time()) > ")
    matchers = MATCHER.findall(found[2])
    assert ",".join("".join(one) for one in matchers) == found[2]
    (counter,) = (one for one in counters if one.name == found[1])
    series = [{"monitored_resource": "cloud_run_job", **labels} for labels in counter.count(stored)]
    return len([one for one in series if all(_fits(one, *matcher) for matcher in matchers)])


def _fits(series: Mapping[str, str], name: str, operator: str, text: str) -> bool:
    # An unknown label would never match, so a selector by it sums up nothing.
    value, wanted = series.get(name, ""), json.loads(text)
    return bool(re.fullmatch(wanted, value)) if operator == "=~" else value == wanted
