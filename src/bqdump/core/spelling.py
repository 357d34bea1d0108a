"""The name that was probably meant by a misspelt one."""

from __future__ import annotations

from collections.abc import Collection


def close_name(name: str, known: Collection[str]) -> str:
    """The known name that is most like this one, "" if none is; case does not count."""
    # Imported where it is needed only.
    import difflib

    same = [candidate for candidate in known if candidate.lower() == name.lower()]
    return next(iter(same or difflib.get_close_matches(name, known, n=1)), "")
