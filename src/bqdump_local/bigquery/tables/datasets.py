"""The datasets of the server, and all changes to them."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bqdump_local.bigquery.errors import duplicate, invalid, not_found
from bqdump_local.bigquery.tables.definitions import patched, settable_of_dataset

if TYPE_CHECKING:
    from bqdump_local.bigquery.settings import JobSettings
    from bqdump_local.bigquery.tables.warehouse import Warehouse

DATASET_ID = re.compile(r"\w{1,1024}", re.ASCII)


@dataclass
class Dataset:
    """A dataset with its properties. Times are milliseconds since 1970 UTC."""

    project: str
    dataset_id: str
    location: str
    properties: dict[str, Any]
    created_ms: int
    modified_ms: int

    @property
    def name(self) -> str:
        """`project:dataset`, as in messages."""
        return f"{self.project}:{self.dataset_id}"


class Datasets:
    """All datasets. lock: held for each change of the catalog itself; who holds it takes no table's lock."""

    def __init__(self, warehouse: Warehouse, settings: JobSettings) -> None:
        self.warehouse = warehouse
        self.settings = settings
        self.lock = threading.RLock()
        self._datasets: dict[tuple[str, str], Dataset] = {}

    def load(self, key: str, document: dict[str, Any]) -> bool:
        """Take over what an earlier process has stored under this key. False for a key of another kind."""
        if not key.startswith("dataset:"):
            return False
        dataset = Dataset(**document)
        self._datasets[dataset.project, dataset.dataset_id] = dataset
        return True

    def create_dataset(self, project: str, dataset_id: str, properties: dict[str, Any]) -> Dataset:
        """Create a dataset. The default location is US."""
        if not DATASET_ID.fullmatch(dataset_id):
            raise invalid(f'Invalid dataset ID "{dataset_id}". Dataset IDs must be alphanumeric (plus underscores).')
        now = self.settings.now_ms()
        kept = settable_of_dataset(properties)
        dataset = Dataset(project, dataset_id, properties.get("location") or "US", kept, now, now)
        with self.lock:
            if self._find_dataset(project, dataset_id) or (
                kept.get("isCaseInsensitive")
                and self._in_other_case(project, dataset_id, list(self._datasets.values()))
            ):
                raise duplicate("Dataset", dataset.name)
            self._datasets[project, dataset_id] = dataset
            self._keep_dataset(dataset)
        return dataset

    def dataset(self, project: str, dataset_id: str) -> Dataset:
        """The dataset, or a notFound error."""
        dataset = self._find_dataset(project, dataset_id)
        if dataset is None:
            raise not_found("Dataset", f"{project}:{dataset_id}")
        return dataset

    def _find_dataset(self, project: str, dataset_id: str) -> Dataset | None:
        """The dataset of this name, or one that ignores case, whose name differs in case only."""
        ignoring = [one for one in list(self._datasets.values()) if one.properties.get("isCaseInsensitive")]
        return self._datasets.get((project, dataset_id)) or self._in_other_case(project, dataset_id, ignoring)

    @staticmethod
    def _in_other_case(project: str, dataset_id: str, datasets: list[Dataset]) -> Dataset | None:
        named = (project, dataset_id.casefold())
        return next((one for one in datasets if (one.project, one.dataset_id.casefold()) == named), None)

    def datasets(self, project: str) -> list[Dataset]:
        """The datasets of a project, sorted by id."""
        with self.lock:
            return sorted((d for d in self._datasets.values() if d.project == project), key=lambda d: d.dataset_id)

    def all_datasets(self) -> list[Dataset]:
        """The datasets of all projects."""
        with self.lock:
            return list(self._datasets.values())

    def change_dataset(self, dataset: Dataset, properties: dict[str, Any]) -> None:
        """Set the given properties."""
        with self.lock:
            self.replace_dataset(dataset, patched(dataset.properties, settable_of_dataset(properties)))

    def replace_dataset(self, dataset: Dataset, properties: dict[str, Any]) -> None:
        """Replace all properties."""
        with self.lock:
            if self.dataset(dataset.project, dataset.dataset_id) is not dataset:
                raise not_found("Dataset", dataset.name)
            dataset.properties = settable_of_dataset(properties)
            dataset.modified_ms = self.settings.now_ms()
            self._keep_dataset(dataset)

    def _keep_dataset(self, dataset: Dataset) -> None:
        self.warehouse.keep(f"dataset:{dataset.name}", vars(dataset))
