"""A week of one dataset: the commands whose output pages show as sessions, in the order in which they are run.

`python -m tests.docs.story` prints what they print.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from types import MappingProxyType

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, storage

from bqdump_local.seed import Source, seed
from bqdump_local.stack import Stack, running
from docs.walk import shell

STORY = """\
bqdump init --project my-project --dataset sales --bucket my-exports
bqdump doctor
bqdump plan
bqdump run --run-id monday
bqdump run --run-id tuesday
bqdump run --run-id wednesday
bqdump status
bqdump runs
bqdump runs --growth --since tuesday
bqdump runs --storage
bqdump runs --tag keep monday
bqdump ls
bqdump verify
bqdump verify --read
bqdump verify --source
bqdump diff tuesday wednesday
bqdump diff tuesday wednesday --values
bqdump report tuesday --since monday --output changes.html
bqdump report --drill --output evidence.html
bqdump sql -c "SELECT country, count(*) AS customers FROM customers GROUP BY ALL ORDER BY ALL"
bqdump restore --into restored --plan
bqdump restore --into restored --verify
bqdump restore monday --into sales --include customers --replace --yes
bqdump restore monday --into sales --include customers --as customers_monday
bqdump restore --into other-project.sales
bqdump restores
bqdump drill
bqdump drill --tables 2
bqdump copy gs://my-second-bucket/sales --dry-run
bqdump copy gs://my-second-bucket/sales
bqdump copy gs://my-second-bucket/sales --all
bqdump status --rpo 26h --rto 4h
bqdump prune tuesday
bqdump prune tuesday --yes
bqdump erase customers --reason 'request 4711'
bqdump erase customers --reason 'request 4711' --yes
bqdump keys new signing
bqdump run --run-id thursday --sign signing.key
bqdump runs --trust signing.pub
bqdump verify --trust signing.pub --newest-within 26h
bqdump render job --region europe-west1 --image registry/bqdump:0.2.0
bqdump render iam --region europe-west1
bqdump render scheduler --region europe-west1
bqdump render alerts --region europe-west1 --notification-channel projects/my-project/notificationChannels/1
bqdump render terraform --region europe-west1
bqdump render kubernetes --region europe-west1 --image registry/bqdump:0.2.0
bqdump render workflow --region europe-west1 --part input
bqdump run --run-id friday
bqdump status friday
""".splitlines()
# What happens to the dataset before a command.
BEFORE = {
    "bqdump run --run-id wednesday": (
        "DELETE FROM sales.customers WHERE id = 7",
        "INSERT INTO sales.orders (id, customer) VALUES (40, 3), (41, 3)",
    ),
    # A view that fails when it is read.
    "bqdump run --run-id friday": ("CREATE VIEW sales.shares AS SELECT id, 100 / (id - 7) AS share FROM sales.orders",),
}


def sources() -> list[Source]:
    customers = "".join(f"{number},{'CH' if number % 2 else 'LI'},c{number}@example.com\n" for number in range(20))
    data = {
        "customers": f"id,country,email\n{customers}",
        "orders": "id,customer\n" + "".join(f"{number},{number % 20}\n" for number in range(40)),
        "events": "day,kind\n" + "".join(f"2026-01-{day:02},click\n" for day in range(1, 31)),
    }
    return [Source(table, text.encode(), {"autodetect": True}) for table, text in data.items()]


def printed(folder: Path) -> MappingProxyType[str, str]:
    """What each command of the story prints."""
    with running(root=folder / "buckets") as stack:
        seed(stack, project="my-project", dataset="sales", bucket="source", target="my-exports", sources=sources())
        store = storage.Client("my-project", AnonymousCredentials(), client_options=ClientOptions(stack.storage))
        store.create_bucket("my-second-bucket")
        store.close()
        _change(stack, "CREATE VIEW sales.buyers AS SELECT DISTINCT customer FROM sales.orders")
        _change(stack, "DROP TABLE sales.empty_table")
        found = {}
        for command in STORY:
            for statement in BEFORE.get(command, ()):
                _change(stack, statement)
            # A difference that is found, and a table that fails, are answers, too.
            found[command] = shell(f"{command} || test $? = 4 -o $? = 3", folder, stack.variables())
        return MappingProxyType(found)


def _change(stack: Stack, statement: str) -> None:
    options = ClientOptions(api_endpoint=stack.bigquery)
    with bigquery.Client("my-project", AnonymousCredentials(), client_options=options) as client:
        client.query_and_wait(statement)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for command, text in printed(Path(place)).items():
            sys.stdout.write(f"$ {command}\n{text}")
