"""Where an export is: a bucket or a local folder, chosen by the scheme of `to`, and a prefix below it.

Another object store is one more scheme here, and one more opener in `bqdump.services.opening`.

The setting `dataset`: the name of one dataset, or names and patterns of several, which are exported as a set.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from bqdump.core.documents.document import STATE
from bqdump.core.settings import values as parse
from bqdump.core.tables.patterns import LABEL_PATTERN, is_label

BUCKET, FOLDER, S3 = "gs", "file", "s3"


class Target(msgspec.Struct, frozen=True):
    """A root, such as a bucket or a folder, and a prefix that is empty or ends with a slash."""

    scheme: str = BUCKET
    root: str = ""
    prefix: str = ""

    @property
    def bucket(self) -> str:
        """The bucket of Cloud Storage, "" for any other place. Only from there do load jobs of BigQuery read."""
        return self.root if self.scheme == BUCKET else ""

    @property
    def named(self) -> str:
        """Where it is, in a sentence: a local folder is called so, for it may have been meant to be a bucket."""
        return f"the local folder {self}" if self.folder else str(self)

    @property
    def folder(self) -> str:
        """The local folder, "" for any other place."""
        return self.root if self.scheme == FOLDER else ""

    @property
    def holds_copies(self) -> bool:
        """Whether only copies of exports are stored there: BigQuery does not write to it."""
        return self.scheme == S3

    @property
    def url(self) -> str:
        """The root as people write it."""
        return self.root if self.scheme == FOLDER else f"{self.scheme}://{self.root}"

    def uri(self, name: str) -> str:
        """The address of an object by its complete name, prefix included."""
        return f"{self.url}/{name}"

    def __str__(self) -> str:
        return self.uri(self.prefix)

    def __bool__(self) -> bool:
        return bool(self.root)


def recorded_target(settings: Mapping[str, Any]) -> Target:
    """The target in the settings of a stored document."""
    prefix = str(settings.get("prefix") or "")
    if to := str(settings.get("to") or ""):
        scheme, separator, root = to.partition("://")
        return Target(scheme, root, prefix) if separator and scheme in SCHEMES else Target(FOLDER, to, prefix)
    return Target(BUCKET, str(settings.get("bucket") or ""), prefix)


def is_elsewhere(settings: Mapping[str, Any], here: Target) -> bool:
    """Whether a stored document with these settings was written for another bucket or prefix than this one.

    A folder may have another name since, or another path on this machine.
    """
    made_for = recorded_target(settings)
    in_bucket = made_for.root and made_for.scheme != FOLDER
    return bool(in_bucket and made_for.url != here.url) or made_for.prefix != here.prefix


def record_of(target: Target) -> dict[str, str]:
    """The target as a stored document has it; recorded_target reads it back."""
    return {"bucket": target.bucket, "to": "" if target.scheme == BUCKET else target.url, "prefix": target.prefix}


def parse_target(value: Any) -> Target:
    """A target as `to` has it: SCHEME://ROOT/PREFIX, or a local folder. Raises ValueError."""
    place = parse.text(value)
    scheme, separator, rest = place.partition("://")
    if mistyped := re.match(BUCKET_MISTYPED, place):
        raise ValueError(f"expected {mistyped[1].lower()}://{place[mistyped.end() :]}, or ./{place} for a local folder")
    if re.match(WINDOWS, place) and os.name != "nt":
        raise ValueError("this is a folder of Windows; expected a path of this machine, such as ./exports")
    if place[:1] in "'\"" and place[:1] == place[-1:] != "":
        raise ValueError("expected a path without quotes")
    if not separator:
        return Target(FOLDER, place.rstrip("/") or place)
    if scheme == "file":
        raise ValueError(f"write the folder alone: {rest}")
    if web := re.fullmatch(WEB, place):
        raise ValueError(f"write gs://{web[1]}")
    if scheme not in SCHEMES:
        raise ValueError(f"unknown scheme {scheme}://; expected {EXPECTED}")
    return SCHEMES[scheme](scheme, rest)


def _in_bucket(scheme: str, rest: str) -> Target:
    bucket, _, prefix = rest.partition("/")
    if not bucket:
        raise ValueError(f"expected {EXPECTED}")
    return Target(scheme, parse.bucket(bucket), parse.prefix(prefix))


# What would otherwise be the name of a local folder.
WINDOWS = r"[A-Za-z]:[\\/](?!/)"
# The address of an object or a folder in a browser.
WEB = r"https://(?:storage\.(?:googleapis|cloud\.google)\.com|console\.cloud\.google\.com/storage/browser)/([^?;#]+).*"
BUCKET_MISTYPED = r"(?i)(gs|s3)(?::(?!//)/?|//)"
EXPECTED = "gs://BUCKET/PREFIX, s3://BUCKET/PREFIX or a local folder"
SCHEMES: dict[str, Callable[[str, str], Target]] = {BUCKET: _in_bucket, S3: _in_bucket}


NAME = re.compile(r"\w{1,1024}")
# One dataset, by its name.
DATASET = parse.name(NAME.pattern, "a dataset id: letters, digits and _, without the project")
PATTERN = re.compile(rf"[\w*?]{{1,1024}}|{LABEL_PATTERN.pattern}")
NAMES_EXPECTED = (
    "a dataset id: letters, digits and _, without the project; or ids and patterns (* and ?, or label:KEY=VALUE) "
    "separated by commas"
)


# PROJECT.DATASET, PROJECT:DATASET, DATASET.TABLE or all three, as SQL and its tools quote them.
QUALIFIED = r"`?[\w-]+`?([.:]`?[\w*?-]+`?){1,2}"
QUALIFIED_MEANT = "A project is named with {setting:project}, tables with {setting:include}"


def parse_datasets(value: Any) -> str:
    """A dataset's name, or names and patterns of several, separated by commas. Raises ValueError."""
    for name in parse.patterns(value):
        if re.fullmatch(QUALIFIED, name) and not is_label(name):
            raise ValueError(f"expected {NAMES_EXPECTED}. {QUALIFIED_MEANT}")
    names = parse.object_patterns(value)
    if not names and value not in ("", []):
        raise ValueError(f"no dataset is named; expected {NAMES_EXPECTED}")
    for name in names:
        if not PATTERN.fullmatch(name):
            raise ValueError(f"expected {NAMES_EXPECTED}")
        if name == STATE:
            raise ValueError(f"a dataset called {STATE} cannot be exported: its folder holds bqdump's own documents")
        if names.count(name) > 1:
            raise ValueError(f"{name} is named twice")
    return ",".join(names)


def names_several(dataset: str) -> bool:
    """Whether this value of the setting may name several datasets, even if it matches a single one today."""
    return bool(dataset) and not NAME.fullmatch(dataset)
