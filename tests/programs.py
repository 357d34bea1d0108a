"""Programs that tests write, run by the Python of the tests wherever it is installed."""

from __future__ import annotations

import sys


def python_program(text: str, options: str = "") -> str:
    """A program's text that can be executed. The first line of a script cannot name a Python whose path has a space."""
    words = f'"{sys.executable}" {options}'.rstrip()
    return f"""#!/bin/sh
'''exec' {words} "$0" "$@"
' '''
{text}"""
