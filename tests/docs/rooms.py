"""The picture of the packages in docs/ARCHITECTURE.md, drawn from their imports: `python -m tests.docs.rooms`."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE, PICTURE = ROOT / "src", ROOT / "docs" / "rooms.svg"
WIDE, HIGH, BETWEEN, FLOOR = 128, 34, 14, 78
STYLE = """
  .room { fill: #eef3fb; stroke: #4a6da7; rx: 6 }
  text { font: 14px system-ui, sans-serif; fill: #16233b; text-anchor: middle }
  .import { fill: none; stroke: #8fa3c4 }
  @media (prefers-color-scheme: dark) {
    svg { background: #10151f }
    .room { fill: #1c2740 }
    text { fill: #e6edf8 }
    .import { stroke: #5b7099 }
  }
"""


def rooms() -> dict[str, Path]:
    """The packages of the product by their short names, and those beside it."""
    inside = [path for path in (SOURCE / "bqdump").iterdir() if (path / "__init__.py").exists()]
    beside = [path for path in SOURCE.iterdir() if path.name.startswith("bqdump_")]
    return {path.name: path for path in sorted([*inside, *beside])}


def imports() -> dict[str, set[str]]:
    """What each room imports, also within functions and for types alone."""
    places = rooms()
    return {
        name: {other for module in _imported(place) if (other := _room(module)) in places and other != name}
        for name, place in places.items()
    }


def _imported(place: Path) -> Iterator[str]:
    for path in place.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(module: str) -> str:
    first, _, rest = module.partition(".")
    return rest.partition(".")[0] if first == "bqdump" else first


def floors(edges: Mapping[str, set[str]]) -> dict[str, int]:
    """How many floors are below each room. Raises ValueError for a circle."""
    known: dict[str, int] = {}

    def floor(name: str, above: tuple[str, ...] = ()) -> int:
        if name in above:
            raise ValueError(f"a circle of imports: {' → '.join((*above, name))}")
        if name not in known:
            known[name] = 1 + max((floor(one, (*above, name)) for one in edges[name]), default=-1)
        return known[name]

    for name in edges:
        floor(name)
    return known


def shown(edges: Mapping[str, set[str]]) -> dict[str, list[str]]:
    """The imports that do not follow from others."""
    reached: dict[str, set[str]] = {}
    for name in sorted(edges, key=floors(edges).__getitem__):
        reached[name] = edges[name].union(*(reached[one] for one in edges[name]))
    return {
        name: sorted(one for one in others if not any(one in reached[other] for other in others))
        for name, others in edges.items()
    }


def picture() -> str:
    """The picture as SVG."""
    edges = imports()
    by_floor = floors(edges)
    top = max(by_floor.values())
    rows = [sorted(name for name, floor in by_floor.items() if floor == top - row) for row in range(top + 1)]
    width = max(map(len, rows)) * (WIDE + BETWEEN) + BETWEEN
    place = {
        name: (width / 2 + (column - (len(row) - 1) / 2) * (WIDE + BETWEEN), 30 + number * FLOOR)
        for number, row in enumerate(rows)
        for column, name in enumerate(row)
    }
    lines = [_line(place[name], place[other]) for name, others in shown(edges).items() for other in others]
    boxes = [
        f'<rect class="room" x="{x - WIDE / 2:g}" y="{y - HIGH / 2:g}" width="{WIDE}" height="{HIGH}"/>'
        f'<text x="{x:g}" y="{y + 5:g}">{name}</text>'
        for name, (x, y) in place.items()
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {60 + top * FLOOR}" width="{width}">'
    return "\n".join([head, f"<style>{STYLE}</style>", *lines, *boxes, "</svg>", ""])


def _line(above: tuple[float, float], below: tuple[float, float]) -> str:
    (x, y), (to, end) = (above[0], above[1] + HIGH / 2), (below[0], below[1] - HIGH / 2)
    bend = min(FLOOR, (end - y)) / 2
    return f'<path class="import" d="M{x:g} {y:g}C{x:g} {y + bend:g} {to:g} {end - bend:g} {to:g} {end:g}"/>'


if __name__ == "__main__":
    PICTURE.write_text(picture())
