"""deploy/teardown.sh with a stub of gcloud that records what is removed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.render.deployment import Deployment
from bqdump.render.iam import accounts, build_account

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {
    "PROJECT_ID": "my-data", "SOURCE_DATASET": "sales", "DESTINATION_BUCKET": "my-exports", "REGION": "europe-west1",
    "BQDUMP_JOB_PROJECT": "my-jobs",
}  # fmt: skip
# In shell, since the script calls it forty times.
GCLOUD = r"""#!/bin/sh
here=${0%/*} tool=${0##*/}
. "$here/known"
case "$tool $*" in
  "bq "*COUNT*INFORMATION_SCHEMA*) echo f0_; answer count; exit ;;
  "bq "*INFORMATION_SCHEMA*) echo table_name; answer dummies; exit 0 ;;
  "bq "*" show "*) answer "dataset labels"; exit ;;
  *" describe "*)
    asked=
    while [ "$1" != describe ]; do asked="$asked$1 "; shift; done
    answer "$asked$2"; exit ;;
  *" notifications list "*) answer notices; exit 0 ;;
  *" policies list "*) answer policies; exit 0 ;;
  *" get-iam-policy "*)
    case $3 in my-data) source=' on my-data' ;; get-iam-policy) source=" on ${4#gs://}" ;; *) source= ;; esac
    for word; do case $word in --filter=bindings.members=*) answer "roles ${word##*:}$source" ;; esac; done
    exit 0 ;;
esac
{ printf '%s\0' "$tool" "$@"; echo; } >>"$here/log"
"""
RUN = "https://run.googleapis.com/v2/projects/my-jobs/locations/europe-west1/jobs/bqdump:run"
WORKFLOW = (
    "https://workflowexecutions.googleapis.com/v1/projects/my-jobs/locations/europe-west1/workflows/bqdump/executions"
)


def email(name: str) -> str:
    return f"{name}@my-jobs.iam.gserviceaccount.com"


EVERYTHING: dict[str, Any] = {
    "scheduler jobs bqdump": RUN,
    "scheduler jobs bqdump-workflow": WORKFLOW,
    "scheduler jobs bqdump-drill": f"{RUN.removesuffix(':run')}-drill:run",
    "workflows bqdump": "bqdump",
    "run jobs bqdump-drill": "bqdump",
    "policies": "projects/my-jobs/alertPolicies/7",
    "logging metrics bqdump_published": "Exports published, by dataset and target, of the Cloud Run job bqdump",
    "logging metrics bqdump_copied": "Copies, by dataset and target, of the Cloud Run job bqdump-copy",
    "scheduler jobs bqdump-copy": f"{RUN.removesuffix(':run')}-copy:run",
    "run jobs bqdump-copy": "bqdump",
    "run jobs bqdump-restore": "bqdump",
    "notices": "12",
    "pubsub topics bqdump-published": "x",
    "eventarc triggers bqdump-published": "x",
    f"iam service-accounts {email('bqdump-copier')}": "bqdump: copier",
    f"iam service-accounts {email('bqdump-build')}": "bqdump: builds the image",
    f"roles {email('bqdump-build')}": ["roles/storage.objectViewer", "roles/logging.logWriter"],
    "run jobs bqdump": "bqdump",
    "artifacts repositories bqdump": "bqdump",
    "storage buckets gs://my-exports": "bqdump",
    f"iam service-accounts {email('bqdump')}": "bqdump: exports",
    f"iam service-accounts {email('bqdump-scheduler')}": "bqdump: starts exports on schedule",
    f"iam service-accounts {email('bqdump-workflow')}": "bqdump: runs the job for a list of datasets",
    "iam roles bqdump_row_policies": "bqdump: see row access policies",
    f"roles {email('bqdump')}": ["roles/bigquery.jobUser"],
    f"roles {email('bqdump')} on my-exports": [
        # Where there is one grant with a condition and one without, the role is there twice.
        "roles/storage.objectUser",
        "roles/storage.objectUser",
        "roles/storage.legacyBucketReader",
    ],
    f"roles {email('bqdump-workflow')}": ["roles/run.viewer", "roles/logging.logWriter"],
}


def answers(known: dict[str, Any]) -> str:
    """A function of the shell that answers what is known, and fails for all else."""
    texts = {asked: "\n".join(value) if isinstance(value, list) else str(value) for asked, value in known.items()}
    cases = [f"{shlex.quote(asked)}) printf '%s\\n' {shlex.quote(text)} ;;" for asked, text in texts.items()]
    return "\n".join(["answer() { case $1 in", *cases, "*) return 1 ;;", "esac; }\n"])


class GoogleProject:
    """A project with the resources in `known`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for tool in ("gcloud", "bq"):
            (folder / tool).write_text(GCLOUD)
            (folder / tool).chmod(0o755)

    def run(
        self, known: dict[str, Any], *options: str, answer: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        count = len(known.get("dummies", ())) + known.get("others", 0)
        labels = json.dumps({"labels": known.get("dataset labels", {})}, indent=2)
        (self.folder / "known").write_text(answers(known | {"count": count, "dataset labels": labels}))
        environ = ENVIRONMENT | env | {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        return subprocess.run(
            [ROOT / "deploy/teardown.sh", *options], env=environ, input=answer, capture_output=True, text=True,
        )  # fmt: skip

    @property
    def removed(self) -> list[str]:
        log = self.folder / "log"
        commands = log.read_text().split("\0\n")[:-1] if log.exists() else []
        return [shlex.join(command.split("\0")) for command in commands]


@pytest.fixture
def world(tmp_path: Path) -> GoogleProject:
    return GoogleProject(tmp_path)


@pytest.fixture(scope="module")
def all_removed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What is removed of everything."""
    world = GoogleProject(tmp_path_factory.mktemp("all"))
    done = world.run(EVERYTHING, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    return world.removed


def test_everything_that_was_created_is_removed(all_removed: list[str]) -> None:
    heads = [" ".join(word for word in command.split()[:5] if not word.startswith("-")) for command in all_removed]
    for head in (
        "gcloud scheduler jobs delete bqdump", "gcloud scheduler jobs delete bqdump-workflow",
        "gcloud workflows delete bqdump", "gcloud run jobs delete bqdump",
        "gcloud artifacts repositories delete bqdump", f"gcloud iam service-accounts delete {email('bqdump')}",
        "gcloud iam roles delete bqdump_row_policies", "gcloud run jobs delete bqdump-drill",
        "gcloud scheduler jobs delete bqdump-drill", "gcloud scheduler jobs delete bqdump-copy",
        "gcloud run jobs delete bqdump-copy", "gcloud run jobs delete bqdump-restore",
        "gcloud logging metrics delete bqdump_copied", "gcloud pubsub topics delete bqdump-published",
        "gcloud eventarc triggers delete bqdump-published", "gcloud storage buckets notifications delete",
        f"gcloud iam service-accounts delete {email('bqdump-copier')}",
        "gcloud logging metrics delete bqdump_published",
        "gcloud monitoring policies delete projects/my-jobs/alertPolicies/7",
    ):  # fmt: skip
        assert head in heads


def test_every_grant_is_revoked_or_removed_with_its_resource(all_removed: list[str]) -> None:
    settings = Settings(project="my-data", dataset="sales", target=Target("gs", "my-exports"), job_project="my-jobs")
    deployment = Deployment(settings=settings, region="europe-west1")
    found = 0
    for account in (*accounts(deployment, workflow=True), build_account(deployment)):
        for grant in account.grants:
            if grant.on.startswith(("job ", "repository ")) or grant.role == "roles/workflows.invoker":
                continue
            found += 1
            taken = [command for command in all_removed if grant.role in command and account.email in command]
            assert taken, grant
            assert all("remove-iam-policy-binding" in one or "REVOKE" in one for one in taken)
    assert found > 5


def test_accounts_of_a_domain_scoped_project_are_removed(world: GoogleProject) -> None:
    address = "bqdump@jobs.example.com.iam.gserviceaccount.com"
    known = {f"iam service-accounts {address}": "bqdump: exports"}
    done = world.run(known, "--yes", BQDUMP_JOB_PROJECT="example.com:jobs")
    assert (done.returncode, done.stderr) == (0, "")
    assert any(f"service-accounts delete {address}" in command for command in world.removed)


def test_the_grants_on_every_dataset_of_a_set_are_revoked(world: GoogleProject) -> None:
    done = world.run(EVERYTHING, "--yes", SOURCE_DATASET="sales, ops,")
    assert (done.returncode, done.stderr) == (0, "")
    revoked = [command for command in world.removed if "REVOKE" in command]
    for role in ("dataViewer", "metadataViewer", "row_policies"):
        where = {dataset for dataset in ("sales", "ops", "sales, ops,") for one in revoked
                 if role in one and f"`my-data`.`{dataset}`" in one}  # fmt: skip
        assert where == {"sales", "ops"}, role
    buckets = {word for one in world.removed if "buckets remove-iam" in one for word in one.split() if "gs://" in word}
    assert buckets == {"gs://my-exports"}


def test_the_grants_of_a_pattern_are_removed_from_the_project_of_the_datasets(world: GoogleProject) -> None:
    custom = "projects/my-data/roles/bqdump_row_policies"
    on_project = {
        f"roles {email('bqdump')} on my-data": ["roles/bigquery.dataViewer", custom],
        f"roles {email('bqdump-workflow')} on my-data": ["roles/bigquery.metadataViewer"],
    }
    done = world.run(EVERYTHING | on_project, "--yes", SOURCE_DATASET="sales,ops_*")
    assert (done.returncode, done.stderr) == (0, "")
    assert not any("REVOKE" in command for command in world.removed)
    taken = [command for command in world.removed if "projects remove-iam-policy-binding my-data" in command]
    assert {word for one in taken for word in one.split() if "role=" in word} == {
        "--role=roles/bigquery.dataViewer", "--role=roles/bigquery.metadataViewer",
        "--role=projects/my-data/roles/bqdump_row_policies",
    }  # fmt: skip


def test_the_dummy_tables_of_a_set_are_looked_for_in_each_dataset(world: GoogleProject) -> None:
    done = world.run(SEEDED, "--yes", SOURCE_DATASET="sales,ops")
    assert (done.returncode, done.stderr) == (0, "")
    assert [one for one in world.removed if "--dataset" in one] == [
        "bq rm --force --dataset my-data:sales", "bq rm --force --dataset my-data:ops",
    ]  # fmt: skip


def test_the_bucket_stays_unless_its_removal_is_requested(world: GoogleProject, all_removed: list[str]) -> None:
    assert not any("storage rm" in command for command in all_removed)
    world.run(EVERYTHING, "--yes", "--with-bucket")
    assert "gcloud storage rm --recursive gs://my-exports" in world.removed


def test_a_bucket_without_the_label_stays_even_if_its_removal_is_requested(world: GoogleProject) -> None:
    done = world.run(EVERYTHING | {"storage buckets gs://my-exports": ""}, "--yes", "--with-bucket")
    assert "keeping gs://" in done.stderr
    assert not any("storage rm" in command for command in world.removed)


def test_resources_of_the_same_name_without_the_label_stay(world: GoogleProject) -> None:
    others = {
        "scheduler jobs bqdump": "https://example.com/hook",
        "logging metrics bqdump_published": "Pages published",
        "workflows bqdump": "", "run jobs bqdump": "webshop", "artifacts repositories bqdump": "",
        f"iam service-accounts {email('bqdump')}": "Somebody else",
    }  # fmt: skip
    done = world.run(others, "--yes")
    assert world.removed == []
    assert "Nothing to remove in" in done.stdout


@pytest.mark.parametrize("answer", ["", "no\n", "\n"])
def test_nothing_is_removed_without_confirmation(world: GoogleProject, answer: str) -> None:
    done = world.run(EVERYTHING, answer=answer)
    assert done.returncode == 1
    assert "This removes from my-jobs:" in done.stdout
    assert world.removed == []


def test_a_confirmation_is_enough(world: GoogleProject) -> None:
    assert world.run(EVERYTHING, answer="y\n").returncode == 0
    assert world.removed


def test_a_repeated_teardown_removes_nothing_and_succeeds(world: GoogleProject) -> None:
    assert world.run({}, "--yes").returncode == 0
    assert world.removed == []


def test_missing_settings_are_named(world: GoogleProject) -> None:
    done = subprocess.run(
        [ROOT / "deploy/teardown.sh"], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "PROJECT_ID" in done.stderr


SEEDED: dict[str, Any] = {
    "dummies": ["dummy_01", "dummy_02"], "dataset labels": {"app": "bqdump-dummy-data"},
}  # fmt: skip


def test_the_dummy_tables_and_their_dataset_are_removed(world: GoogleProject) -> None:
    done = world.run(SEEDED, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert world.removed == [
        "bq rm --force --table my-data:sales.dummy_01", "bq rm --force --table my-data:sales.dummy_02",
        "bq rm --force --dataset my-data:sales",
    ]  # fmt: skip


def test_a_dataset_without_the_label_loses_only_the_dummy_tables(world: GoogleProject) -> None:
    done = world.run(SEEDED | {"dataset labels": {"team": "data"}}, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    assert world.removed == [f"bq rm --force --table my-data:sales.dummy_{number}" for number in ("01", "02")]


def test_a_dataset_with_other_tables_stays(world: GoogleProject) -> None:
    done = world.run(SEEDED | {"others": 1}, "--yes")
    assert "keeping dataset" in done.stderr
    assert not any("--dataset" in command for command in world.removed)


def test_a_label_on_a_table_of_another_name_removes_nothing(world: GoogleProject) -> None:
    world.run({"dummies": ["sales_2026", "dummy_1 x", "../dummy_01"]}, "--yes")
    assert world.removed == []
