"""Parsing in a test is not disturbed by what a garbage collection runs."""

from __future__ import annotations

import ast
import gc

SOURCE = "\n".join(f"x{number} = f(a, [b, (c, {{1: d}})], lambda q: q + 1)" for number in range(300))


def parse_deeper(depth: int) -> None:
    if depth:
        parse_deeper(depth - 1)
    else:
        ast.parse("1")


def test_a_callback_that_parses_does_not_fail_the_source_that_is_being_parsed() -> None:
    within: list[str] = []

    def parse(phase: str, _: object) -> None:
        if not within:
            within.append(phase)
            parse_deeper(5)
            within.clear()

    threshold = gc.get_threshold()
    gc.callbacks.append(parse)
    gc.set_threshold(50)
    try:
        for _ in range(20):
            assert len(ast.parse(SOURCE).body) == 300
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(parse)
