"""Documents of one kind in the datasets, by name: routines, or models."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bqdump_local.bigquery.tables.warehouse import Warehouse

Document = dict[str, Any]
Check = Callable[[Document | None], None]


def accept(_: Document | None) -> None:
    """The check that changes whatever there is."""


class Shelf:
    """The documents of one kind ("routine"), which outlive the process like tables."""

    def __init__(self, kind: str, warehouse: Warehouse) -> None:
        self.kind = kind
        self._warehouse = warehouse
        self._lock = threading.Lock()
        self._documents: dict[tuple[str, str], dict[str, Document]] = {}

    def load(self, key: str, document: Document) -> bool:
        """Take over what an earlier process has stored under this key. False for a key of another kind."""
        kind, _, rest = key.partition(":")
        if kind != self.kind:
            return False
        project, dataset, name = rest.split("\n")
        self._documents.setdefault((project, dataset), {})[name] = document
        return True

    def all(self, project: str, dataset: str) -> list[Document]:
        """Those of a dataset, sorted by name."""
        with self._lock:
            return [document for _, document in sorted(self._documents.get((project, dataset), {}).items())]

    def find(self, project: str, dataset: str, name: str) -> Document | None:
        """The document of this name, or None."""
        return self._documents.get((project, dataset), {}).get(name)

    def put(
        self, project: str, dataset: str, name: str, document: Document, *, replace: bool, check: Check = accept
    ) -> bool:
        """Store a document. False, and nothing is stored, if there is one of this name and `replace` is not set.

        check: raises for a present document that may not be replaced.
        """
        with self._lock:
            documents = self._documents.setdefault((project, dataset), {})
            check(documents.get(name))
            if name in documents and not replace:
                return False
            documents[name] = document
            self._warehouse.keep(self._key(project, dataset, name), document)
        return True

    def remove(self, project: str, dataset: str, name: str, *, check: Check = accept) -> bool:
        """Remove a document. False if there is none of this name. check: raises for one that may not be removed."""
        with self._lock:
            check(self.find(project, dataset, name))
            document = self._documents.get((project, dataset), {}).pop(name, None)
            self._warehouse.keep(self._key(project, dataset, name), None)
        return document is not None

    def clear(self, project: str, dataset: str) -> None:
        """Remove all documents of a dataset."""
        for name in list(self._documents.get((project, dataset), ())):
            self.remove(project, dataset, name)

    def _key(self, project: str, dataset: str, name: str) -> str:
        return f"{self.kind}:" + "\n".join((project, dataset, name))
