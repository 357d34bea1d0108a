"""A parser for each kind of setting: from a flag, a variable or TOML to the value.

Each raises ValueError with what is expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from bqdump.core.documents.document import RUN_ID, STATE
from bqdump.core.documents.retention import MOST_TAGS, TAG
from bqdump.core.formats.formats import ALIASES, FORMATS
from bqdump.core.risks import REFUSED, Risk
from bqdump.core.sizes import listed
from bqdump.core.tables.columns import POLICIES
from bqdump.core.tables.patterns import LABEL_KEY, LABEL_VALUE, pattern_problem
from bqdump.core.times import parse_time
from bqdump.core.wording import close_name

# An object name has at most 1,024 bytes, of which bqdump's own documents take about 300 after the prefix.
LONGEST_PREFIX = 600
ROUTES = ("extract", "query", "read")
MOST_LABELS = 64
# Where an address without encryption stays on this machine.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class SecretValueError(ValueError):
    """A wrong value that no message may repeat."""


def text(value: Any) -> str:
    """A string without surrounding spaces."""
    if not isinstance(value, str):
        raise ValueError("expected a string")
    return value.strip()


def raw_text(value: Any) -> str:
    """A string, unchanged."""
    if not isinstance(value, str):
        raise ValueError("expected a string")
    return value


def word(value: Any) -> str:
    """A word in lower case."""
    return text(value).lower()


def flag(value: Any) -> bool:
    """True or false, or a word for it."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in ("1", "true", "yes", "on"):
        return True
    if word in ("0", "false", "no", "off"):
        return False
    raise ValueError("expected true or false")


def notify_url(value: Any) -> str:
    """An address that notices are posted to; "" for none. It may be a secret, so errors do not repeat it."""
    if value == "":
        return ""
    text = str(value).strip()
    parts = urlsplit(text)
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not secure or not parts.hostname or parts.username or re.search(r"\s", text):
        raise SecretValueError("expected an address such as https://example.com/hook")
    return text


def endpoint(value: Any) -> str:
    """The address of a service with the API of S3; "" for AWS, or what the environment says."""
    if value == "":
        return ""
    word = str(value).strip().rstrip("/")
    parts = urlsplit(word)
    bare = not (parts.path or parts.query or parts.fragment or parts.username) and not re.search(r"\s", word)
    if parts.scheme not in ("http", "https") or not parts.hostname or not bare:
        raise ValueError("expected an address such as https://minio.example.com:9000")
    return word


VARIABLE, KMS_KEY = "env:", "gcpkms://"
KMS_VERSION = r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[1-9][0-9]*"


def key_file(value: Any) -> str:
    """A PEM file, or env: and the variable that contains one. Errors do not repeat what may be a key; "" for none."""
    named = text(value)
    if "-----" in named or "\n" in named:
        raise SecretValueError("expected a file or env:VARIABLE, not the key itself")
    if named.startswith(VARIABLE) and not re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", named):
        raise ValueError("expected env: and the name of a variable")
    if "://" in named:
        raise ValueError("expected a file or env:VARIABLE")
    return named


def signing_key(value: Any) -> str:
    """The same, or gcpkms:// and the name of a key's version in Cloud KMS."""
    named = text(value)
    if not named.startswith(KMS_KEY):
        return key_file(named)
    if not re.fullmatch(KMS_VERSION, named.removeprefix(KMS_KEY)):
        raise ValueError("expected gcpkms://projects/P/locations/L/keyRings/R/cryptoKeys/K/cryptoKeyVersions/V")
    return named


def key_files(value: Any) -> tuple[str, ...]:
    """A list of them, or a string that separates them by commas."""
    return tuple(dict.fromkeys(map(key_file, value if isinstance(value, list | tuple) else patterns(value))))


def tags(value: Any) -> tuple[str, ...]:
    """A list of tags, or a string that separates them by commas."""
    try:
        names = patterns(value)
    except ValueError:
        raise ValueError("expected a list of tags") from None
    for name in names:
        if not re.fullmatch(TAG, name):
            cause = "expected up to 30 letters, digits, . _ and -, the first a letter or digit"
            raise ValueError(f"invalid tag {name[:50]!r}: {cause}")
    if len(names) > MOST_TAGS:
        raise ValueError(f"expected at most {MOST_TAGS} tags, not {len(names)}")
    return tuple(dict.fromkeys(names))


def given_tags(names: str | Sequence[str]) -> tuple[str, ...]:
    """Tags that are added or removed: none of a list may be empty, which would change nothing."""
    parsed_tags = tags(names)
    if not isinstance(names, str) and not all(map(tags, names)):
        raise ValueError("expected the name of a tag, not an empty string")
    return parsed_tags


def patterns(value: Any) -> tuple[str, ...]:
    """A list of patterns, or a string that separates them by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise ValueError("expected a list of patterns")
    return tuple(item.strip() for item in value if item.strip())


def object_patterns(value: Any) -> tuple[str, ...]:
    """Patterns of names and labels: a list, or a string that separates them by commas."""
    for pattern in (chosen := patterns(value)):
        if problem := pattern_problem(pattern):
            raise ValueError(problem)
    return chosen


def risks(value: Any) -> tuple[Risk, ...]:
    """A list of risks, or a string that separates them by commas."""
    names = patterns(value)
    for name in names:
        if name not in REFUSED:
            if name in ("partial", "failures"):
                raise ValueError("to publish without tables that fail: {setting:allow_partial=True}")
            close = close_name(name, REFUSED)
            guess = f"did you mean {close}?" if close else f"expected {listed(REFUSED)}"
            raise ValueError(f"unknown risk {name!r}; {guess}")
    return tuple(dict.fromkeys(map(Risk, names)))


def route(value: Any) -> str:
    """A route, or auto. Sections of tables choose another one."""
    name = word(value)
    if name not in ("auto", *ROUTES):
        raise ValueError(f"expected {listed(('auto', *ROUTES))}; for single tables set route in [tables.NAME]")
    return name


def labels(value: Any) -> dict[str, str]:
    """Labels of a job, or a string of KEY=VALUE pairs that separates them by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        pairs = [item.partition("=") for item in value if item.strip()]
        if wrong := [key for key, equals, _ in pairs if not equals]:
            raise ValueError(f"expected key=value, not {wrong[0]!r}")
        keys = [key.strip() for key, _, _ in pairs]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise ValueError(f"duplicate label key {twice[0]!r}")
        value = {key.strip(): content.strip() for key, _, content in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("expected key=value pairs")
    if len(value) > MOST_LABELS:
        raise ValueError(f"a job has at most {MOST_LABELS} labels, and these are {len(value)}")
    for key, content in value.items():
        if not re.fullmatch(LABEL_KEY, key) or key != key.lower():
            raise ValueError(f"the label key {key!r} must start with a lowercase letter, then letters, digits, _ and -")
        if not isinstance(content, str) or not re.fullmatch(LABEL_VALUE, content) or content != content.lower():
            raise ValueError(f"the label value {content!r} must consist of up to 63 lowercase letters, digits, _ and -")
    return dict(value)


def format_(value: Any) -> str:
    """A file format by its name or an alias."""
    name = word(value)
    name = ALIASES.get(name, name)
    if name not in FORMATS:
        close = close_name(name, FORMATS)
        raise ValueError(f"expected {listed(tuple(FORMATS))}{f'; did you mean {close}?' if close else ''}")
    return name


def delimiter(value: Any) -> str:
    """The character between the values of a CSV line.

    Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#csvoptions (fieldDelimiter)
    """
    char = {"tab": "\t", "\\t": "\t"}.get(raw_text(value), value)
    if len(char) != 1 or char in '\0\r\n"':
        raise ValueError("expected one character other than a quote or a line break; `tab` for a tab character")
    if ord(char) > 127:
        raise ValueError("expected an ASCII character: BigQuery does not support longer delimiters in UTF-8")
    return str(char)


def null_marker(value: Any) -> str:
    """The string for NULL in CSV."""
    marker = raw_text(value)
    if any(char in '\0\r\n"' for char in marker):
        raise ValueError("expected a string without quotes and line breaks, such as NULL or \\N")
    try:
        marker.encode()
    except UnicodeEncodeError:
        raise ValueError("expected valid UTF-8") from None
    return marker


def on_unsupported(value: Any) -> str:
    """What to do with columns that a format cannot hold."""
    policy = word(value)
    if policy not in POLICIES:
        raise ValueError(f"expected {listed(POLICIES)}")
    return policy


def prefix(value: Any) -> str:
    """A folder in a bucket with a trailing slash; "" for none."""
    parts = text(value).strip("/").split("/")
    if parts == [""]:
        return ""
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\x00-\x1f\x7f*#?\[\]{}]", "".join(parts)):
        raise ValueError("expected folder names separated by single slashes, without . .. * # ? [ ] { }")
    if STATE in parts:
        raise ValueError(f"{STATE}/ is reserved for bqdump's own documents; use another folder")
    if len("/".join(parts).encode()) > LONGEST_PREFIX:
        raise ValueError(f"longer than {LONGEST_PREFIX} bytes, which leaves no room for file names")
    return "/".join(parts) + "/"


def run_id(value: Any) -> str:
    """The name of a run."""
    word = text(value)
    if word and not RUN_ID.fullmatch(word):
        raise ValueError("expected up to 100 letters, digits, - and _, the first a letter or digit")
    return word


def name(pattern: str, expected: str) -> Callable[[Any], str]:
    """A parser of names of this pattern; `expected` describes them in an error."""

    def parse(value: Any) -> str:
        word = text(value)
        if word and not re.fullmatch(pattern, word):
            raise ValueError(f"expected {expected}")
        return word

    return parse


def bucket(value: Any) -> str:
    """The name of a bucket."""
    word = text(value)
    if "/" in word:
        raise ValueError(
            "expected a bucket name without gs:// and without a folder; {setting:to} takes gs://BUCKET/PREFIX"
        )
    if word and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", word):
        raise ValueError(
            f"{word!r} is not a bucket name: expected 3 to 222 lowercase letters, digits, hyphens, underscores and "
            "dots, with a letter or digit at both ends"
        )
    return word


def snapshot_time(value: Any) -> str:
    """A time as written, or as TOML has it."""
    word = value.isoformat() if isinstance(value, datetime) else text(value)
    if word:
        parse_time(word)
    return word
