"""Where the runs of an export are: in words, and as the addresses of their pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

Trail = Sequence[tuple[str, str]]


class Place(NamedTuple):
    """The location of some runs, in words.

    dataset: one of several that the console shows; its pages are below that dataset's address. several: this is the
    place of all of them.
    """

    text: str
    dataset: str = ""
    several: bool = False

    def __str__(self) -> str:
        """The location."""
        return self.text

    @property
    def root(self) -> str:
        """What the addresses of all pages begin with."""
        return dataset_address(self.dataset).rstrip("/") if self.dataset else ""

    @property
    def above(self) -> Trail:
        """The trail of the first page: the pages above it, as title and address."""
        return (("Datasets", "/"),) if self.dataset else ()

    @property
    def runs(self) -> Trail:
        """The trail of a page one level below the first page."""
        return (*self.above, (self.dataset or ("Datasets" if self.several else "Runs"), f"{self.root}/"))

    def run_trail(self, run: str) -> Trail:
        """The trail of a page below a run's."""
        return (*self.runs, (f"Run {run}", self.run(run)))

    def run(self, run: str, *more: str | int) -> str:
        """The address of a run's page, or of one below it."""
        return "/".join((f"{self.root}/runs", *(quote(str(part), safe="") for part in (run, *more))))

    def table(self, table: str) -> str:
        """The address of the page with a table's history."""
        return f"{self.root}/tables/{quote(table, safe='')}"


def dataset_address(dataset: str) -> str:
    """The address of the first page of one of several datasets."""
    return f"/datasets/{quote(dataset, safe='')}/"
