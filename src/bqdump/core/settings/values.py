"""What a setting may be: a parser for each kind, from a flag, the environment or TOML to the value it stands for.

Each raises ValueError with what is wanted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from bqdump.core.documents.layout import RUN_ID, STATE
from bqdump.core.durations import WANTED, parse_duration
from bqdump.core.formats.formats import ALIASES, FORMATS
from bqdump.core.plan.unsupported import POLICIES
from bqdump.core.risks import REFUSED, Risk
from bqdump.core.sizes import parse_size
from bqdump.core.times import parse_moment

# Of the 1,024 bytes of an object's name, bqdump's own documents take about 300 behind the prefix.
LONGEST_PREFIX = 600
LONGEST_SECONDS = 24 * 3600
LEAST_MEMORY = 16 * 10**6
ROUTES = ("extract", "query", "read")
# https://cloud.google.com/bigquery/docs/labels-intro#requirements
MOST_LABELS = 64
LABEL_KEY = re.compile(r"[^\W\dA-Z_][\w-]{0,62}")
LABEL_VALUE = re.compile(r"[\w-]{0,63}")


def text(value: Any) -> str:
    """A text without spaces around it."""
    if not isinstance(value, str):
        raise ValueError("a text is wanted")
    return value.strip()


def raw_text(value: Any) -> str:
    """A text as it is."""
    if not isinstance(value, str):
        raise ValueError("a text is wanted")
    return value


def word(value: Any) -> str:
    """A word, in lower case."""
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
    raise ValueError("true or false is wanted")


def count(value: Any) -> int:
    """A whole number from 1 to 1000."""
    try:
        number = int(str(value))
    except ValueError:
        raise ValueError("a whole number is wanted") from None
    if not 1 <= number <= 1000:
        raise ValueError("a whole number from 1 to 1000 is wanted")
    return number


def size(value: Any) -> int:
    """A number of bytes, such as 10GB or 1 TiB; 0 for none."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError("a size is wanted, such as 10GB or 1 TiB")
    return parse_size(str(value)) if value != "" else 0


def memory(value: Any) -> int:
    """A number of bytes, LEAST_MEMORY at least."""
    number = size(value)
    if number < LEAST_MEMORY:
        raise ValueError(f"at least {LEAST_MEMORY // 10**6}MB is wanted")
    return number


def duration(value: Any) -> int | None:
    """A number of seconds, from 1 second to 24 hours: 90s, 15m or 2h; None for an empty text."""
    if value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(WANTED)
    seconds = parse_duration(str(value))
    if not 1 <= seconds <= LONGEST_SECONDS:
        raise ValueError("a length of time from 1s to 24h is expected")
    return seconds


def rows(value: Any) -> int:
    """A number of rows; 0 for no limit."""
    try:
        number = int(str(value))
    except ValueError:
        number = -1
    if number < 0:
        raise ValueError("a whole number is wanted, 0 for no limit")
    return number


def patterns(value: Any) -> tuple[str, ...]:
    """A list of patterns, or the same parted by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise ValueError("a list of patterns is wanted")
    return tuple(item.strip() for item in value if item.strip())


def risks(value: Any) -> tuple[Risk, ...]:
    """A list of risks, or the same separated by commas."""
    names = patterns(value)
    for name in names:
        if name not in REFUSED:
            import difflib

            close = difflib.get_close_matches(name, REFUSED, n=1)
            guess = f"did you mean {close[0]}?" if close else f"the risks are {', '.join(REFUSED)}"
            raise ValueError(f"unknown risk {name!r}; {guess}")
    return tuple(dict.fromkeys(map(Risk, names)))


def routes(value: Any) -> tuple[str, ...]:
    """Entries PATTERN=ROUTE; a route alone is for all tables."""
    made = []
    for entry in patterns(value):
        pattern, equals, route = entry.rpartition("=")
        if route not in ("auto", *ROUTES) or (equals and not pattern):
            raise ValueError(f"auto, {', '.join(ROUTES)} or TABLE=ROUTE is wanted")
        made.append(f"{pattern or '*'}={route}")
    return tuple(made)


def labels(value: Any) -> dict[str, str]:
    """Labels of a job, or the same as KEY=VALUE parted by commas."""
    if isinstance(value, str):
        value = value.split(",")
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        pairs = [item.partition("=") for item in value if item.strip()]
        if wrong := [key for key, equals, _ in pairs if not equals]:
            raise ValueError(f"key=value is wanted, not {wrong[0]!r}")
        keys = [key.strip() for key, _, _ in pairs]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise ValueError(f"the label key {twice[0]!r} is there twice")
        value = {key.strip(): content.strip() for key, _, content in pairs}
    if not isinstance(value, Mapping):
        raise ValueError("key=value pairs are wanted")
    if len(value) > MOST_LABELS:
        raise ValueError(f"{len(value)} labels are more than the {MOST_LABELS} that a job can have")
    for key, content in value.items():
        if not LABEL_KEY.fullmatch(key) or key != key.lower():
            raise ValueError(f"the label key {key!r} must start with a lowercase letter, then letters, digits, _ and -")
        if not isinstance(content, str) or not LABEL_VALUE.fullmatch(content) or content != content.lower():
            raise ValueError(
                f"the label value {content!r} may hold lowercase letters, digits, _ and - only, 63 at most"
            )
    return dict(value)


def format_(value: Any) -> str:
    """A file format by its name or an alias."""
    name = word(value)
    name = ALIASES.get(name, name)
    if name not in FORMATS:
        raise ValueError(f"unknown format; known are {', '.join(FORMATS)}")
    return name


def delimiter(value: Any) -> str:
    """The one character between the values of a CSV line.

    Source: https://cloud.google.com/bigquery/docs/reference/rest/v2/tables#csvoptions (fieldDelimiter)
    """
    char = {"tab": "\t", "\\t": "\t"}.get(raw_text(value), value)
    if len(char) != 1 or char in '\0\r\n"':
        raise ValueError("use one character (tab for a tab character), no quote and no line break")
    if ord(char) > 127:
        raise ValueError("BigQuery splits UTF-8 at single bytes, and this character has two or more; use an ASCII one")
    return str(char)


def null_marker(value: Any) -> str:
    """The text for NULL in CSV."""
    marker = raw_text(value)
    if any(char in '\0\r\n"' for char in marker):
        raise ValueError("it cannot hold a quote or a line break; use a text such as NULL or \\N")
    try:
        marker.encode()
    except UnicodeEncodeError:
        raise ValueError("it is not valid UTF-8") from None
    return marker


def on_unsupported(value: Any) -> str:
    """What to do with columns that a format cannot hold."""
    policy = word(value)
    if policy not in POLICIES:
        raise ValueError(f"{', '.join(POLICIES[:-1])} or {POLICIES[-1]} is wanted")
    return policy


def prefix(value: Any) -> str:
    """A folder in a bucket with a slash at its end; "" for none."""
    parts = text(value).strip("/").split("/")
    if parts == [""]:
        return ""
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\x00-\x1f\x7f*#?\[\]{}]", "".join(parts)):
        raise ValueError("folder names parted by single slashes are wanted, without . .. * # ? [ ] { }")
    if STATE in parts:
        raise ValueError(f"{STATE}/ is where bqdump keeps its own documents; use another folder")
    if len("/".join(parts).encode()) > LONGEST_PREFIX:
        raise ValueError(f"it is longer than {LONGEST_PREFIX} bytes, which leaves no room for the names of files")
    return "/".join(parts) + "/"


def run_id(value: Any) -> str:
    """The name of a run."""
    word = text(value)
    if word and not RUN_ID.fullmatch(word):
        raise ValueError("up to 100 letters, digits, - and _ are wanted, the first a letter or digit")
    return word


def name(pattern: str, wanted: str) -> Callable[[Any], str]:
    """What parses a name of this pattern; `wanted` says in an error what it is."""

    def parse(value: Any) -> str:
        word = text(value)
        if word and not re.fullmatch(pattern, word):
            raise ValueError(wanted)
        return word

    return parse


def bucket(value: Any) -> str:
    """The name of a bucket."""
    word = text(value)
    if word and not re.fullmatch(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", word):
        raise ValueError("the name of a bucket is wanted, without gs:// and without a folder (that is --prefix)")
    return word


def moment(value: Any) -> str:
    """A moment as written, or as TOML has it."""
    word = value.isoformat() if isinstance(value, datetime) else text(value)
    if word:
        parse_moment(word)
    return word
