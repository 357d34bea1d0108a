"""One task of the naive export, the baseline: table = tables[task index], delete its old files, extract, wait.

Reads PROJECT_ID, SOURCE_DATASET, DESTINATION_BUCKET and CLOUD_RUN_TASK_INDEX.
"""

from __future__ import annotations

import os
import sys
from typing import Any

# A naive container does not have these packages. They are installed here for other tools, and would slow it down.
absent: dict[str, Any] = {
    name: None for name in ("pandas", "pyarrow", "geopandas", "IPython") if name not in sys.modules
}
if __name__ == "__main__":
    sys.modules.update(absent)

from google.api_core.client_options import ClientOptions  # noqa: E402
from google.auth.credentials import AnonymousCredentials  # noqa: E402
from google.cloud import bigquery, storage  # noqa: E402


def clients(project: str) -> tuple[Any, Any]:
    """Google's clients for the local stack in the environment."""
    made = [
        kind.Client(
            project=project,
            credentials=AnonymousCredentials(),
            client_options=ClientOptions(api_endpoint=os.environ[variable]),
        )
        for kind, variable in ((bigquery, "BIGQUERY_EMULATOR_HOST"), (storage, "STORAGE_EMULATOR_HOST"))
    ]
    return made[0], made[1]


def export(big: Any, store: Any, project: str, dataset: str, bucket: str, index: int) -> None:
    """Export the table with this index in the sorted list."""
    table = sorted(item.table_id for item in big.list_tables(dataset))[index]
    for blob in store.bucket(bucket).list_blobs(prefix=f"{table}/"):
        blob.delete()
    target = f"gs://{bucket}/{table}/{table}_*.csv"
    big.extract_table(f"{project}.{dataset}.{table}", target, location="US").result()


if __name__ == "__main__":
    names = [os.environ[name] for name in ("PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET")]
    export(*clients(names[0]), names[0], names[1], names[2], int(os.environ.get("CLOUD_RUN_TASK_INDEX", "0")))
