"""The addresses of the documentation's pages."""

from __future__ import annotations

import re

# Where the pages are: in a clone, until they have an address that all readers share.
DOCUMENTATION = "docs/"


def page(name: str, section: str = "") -> str:
    """The address of a page, or of the section with this heading."""
    anchor = re.sub(r"[^\w -]", "", section.lower()).replace(" ", "-")
    return f"{DOCUMENTATION}{name}{f'#{anchor}' if anchor else ''}"
