"""Source is parsed without a garbage collection in between, for CPython before 3.11.8.

There, the depth of the parser's recursion is state of the interpreter. What a collection runs within (a finalizer, a
callback, or after them another thread) may parse, too, as each traceback does that is formatted; the source that was
parsed first then fails with "SystemError: AST constructor recursion depth mismatch".
https://github.com/python/cpython/issues/106905
"""

from __future__ import annotations

import ast
import gc
import sys
from typing import Any

AFFECTED = sys.version_info < (3, 11, 8)


def guard() -> None:
    """Let ast.parse hold collections off, where the fault is."""
    if AFFECTED:
        ast.parse = _guarded(ast.parse)


def _guarded(parse: Any) -> Any:
    def guarded(*arguments: Any, **options: Any) -> Any:
        enabled = gc.isenabled()
        gc.disable()
        try:
            return parse(*arguments, **options)
        finally:
            if enabled:
                gc.enable()

    return guarded
