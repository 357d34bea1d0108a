"""The setting `dataset`: the name of one dataset, or names and patterns of several, which are exported as a set."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from bqdump.core.documents.document import STATE
from bqdump.core.settings import values as parse
from bqdump.core.settings.target import Target, parse_target

NAME = re.compile(r"\w{1,1024}")
# One dataset, by its name.
DATASET = parse.name(NAME.pattern, "a dataset id: letters, digits and _, without the project")
PATTERN = re.compile(r"[\w*?]{1,1024}")
EXPECTED = "a dataset id: letters, digits and _, without the project; or ids and patterns (* and ?) separated by commas"


def parse_datasets(value: Any) -> str:
    """A dataset's name, or names and patterns of several, separated by commas. Raises ValueError."""
    names = parse.patterns(value)
    if not names and value not in ("", []):
        raise ValueError(f"no dataset is named; expected {EXPECTED}")
    for name in names:
        if not PATTERN.fullmatch(name):
            raise ValueError(f"expected {EXPECTED}")
        if name == STATE:
            raise ValueError(f"a dataset called {STATE} cannot be exported: its folder holds bqdump's own documents")
        if names.count(name) > 1:
            raise ValueError(f"{name} is named twice")
    return ",".join(names)


def names_several(dataset: str) -> bool:
    """Whether this value of the setting may name several datasets, even if it matches a single one today."""
    return bool(dataset) and not NAME.fullmatch(dataset)


def parse_locations(value: Any) -> dict[str, str]:
    """Buckets by location: a table of TOML, or a string LOCATION=gs://BUCKET,…. Raises ValueError."""
    if isinstance(value, str):
        value = [item for item in value.split(",") if item.strip()]
    if isinstance(value, Sequence):
        pairs = [item.partition("=") for item in value if isinstance(item, str)]
        if len(pairs) < len(value) or not all(equals for _, equals, _ in pairs):
            raise ValueError("expected LOCATION=gs://BUCKET")
        value = {location: bucket for location, _, bucket in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("expected LOCATION=gs://BUCKET")
    found: dict[str, str] = {}
    for location, place in value.items():
        key = str(location).strip()
        if not re.fullmatch(r"[A-Za-z0-9-]+", key):
            raise ValueError(f"expected a location such as EU, not {key!r}")
        target = parse_target(place) if isinstance(place, str) and "://" in place else None
        if target is None:
            raise ValueError(f"{key}: expected gs://BUCKET or gs://BUCKET/PREFIX")
        if key.lower() in map(str.lower, found):
            raise ValueError(f"{key} is named twice")
        found[key] = str(target).rstrip("/")
    return found


def target_in(location: str, locations: Mapping[str, str], default: Target) -> Target:
    """Where datasets in this location are exported to: its own bucket, else the default one, with the same prefix."""
    for name, place in locations.items():
        if name.lower() == location.lower():
            found = parse_target(place)
            return found if found.prefix else Target(found.scheme, found.root, default.prefix)
    return default
