"""The Terraform module: errors that the provider would report are found without the provider."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bqdump.core.settings.settings import SETTINGS
from bqdump.render.append_only import COPIER, PRUNER
from bqdump.render.job import workflow_source
from deploy import extract_schema
from deploy.terraform import check_call, check_references, check_resources, load, load_module, named, resources
from deploy.terraform_core import TIME

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "deploy/terraform"
SCHEMA = json.loads(Path(__file__).with_name("google_provider_schema.json").read_text())
SCHEMA["resources"] |= TIME
GOOD = """
resource "google_cloud_run_v2_job" "a" {
  name     = "a"
  location = "b"
  template {
    template {
      containers {
        image = "i"
        dynamic "env" {
          for_each = {}
          content {
            name  = env.key
            value = env.value
          }
        }
      }
    }
  }
}
"""


@pytest.fixture(scope="module")
def module() -> dict[str, Any]:
    return load_module(MODULE)


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    return load_module(MODULE / "jobs")


@pytest.fixture(scope="module")
def vault() -> dict[str, Any]:
    return load_module(MODULE / "vault")


@pytest.mark.parametrize("folder", ["", "example", "vault", "jobs"])
def test_every_resource_is_valid_for_the_provider(folder: str) -> None:
    document = load_module(MODULE / folder)
    assert list(resources(document))
    assert check_resources(document, SCHEMA) == []


@pytest.mark.parametrize("folder", ["", "vault", "jobs", "cron"])
def test_every_name_is_declared_and_every_variable_used(folder: str) -> None:
    assert check_references(load_module(MODULE / folder)) == []


def test_every_variable_and_output_is_described() -> None:
    for folder in ("", "vault", "jobs", "cron"):
        one = load_module(MODULE / folder)
        blocks = named(one, "variable") | named(one, "output")
        assert [name for name, body in blocks.items() if "description" not in body] == []


def test_the_example_calls_the_module_as_it_is(module: dict[str, Any]) -> None:
    example = load_module(MODULE / "example")
    assert check_call(named(example, "module")["bqdump"], module) == []
    used = re.findall(r"module\.bqdump\.(\w+)", (MODULE / "example/main.tf").read_text().split("\nterraform {")[1])
    assert set(used) <= set(named(module, "output"))


@pytest.mark.parametrize(
    ("right", "wrong", "error"),
    [
        ("location =", "locaton =", "there is no argument 'locaton'"),
        ('  location = "b"\n', "", "'location' is missing"),
        ('image = "i"', 'imag = "i"', "template.template.containers: 'image' is missing"),
        ("name  = env.key", "nam = env.key", "containers.env: 'name' is missing"),
        ('name     = "a"', "name = 3", "string is wanted, not 3"),
        ('location = "b"', 'location = "b"\n  labels {}', "a value is wanted, not a block"),
        ('location = "b"', 'location = "b"\n  timeouts = {}', "timeouts: a block is wanted"),
        ("google_cloud_run_v2_job", "google_cloud_run_v3_job", "the schema has no such resource"),
    ],
)
def test_the_check_reports_what_the_provider_would_refuse(right: str, wrong: str, error: str) -> None:
    assert check_resources(load(GOOD), SCHEMA) == []
    found = check_resources(load(GOOD.replace(right, wrong, 1)), SCHEMA)
    assert any(error in one for one in found), found


def test_the_check_reports_undeclared_and_unused_names() -> None:
    text = 'variable "a" {}\nresource "google_x" "y" { name = "${var.b}-${google_x.z.id}-${local.c}" }'
    assert set(check_references(load(text))) == {
        "var.b is not declared", "var.a is never used", "local.c is not declared", "google_x.z is not declared",
    }  # fmt: skip


def test_the_check_reports_an_invalid_module_call() -> None:
    module = load('variable "a" {}\nvariable "b" {\n  default = 1\n}')
    call = named(load('module "m" {\n  source = "x"\n  c = 1\n}'), "module")["m"]
    assert check_call(call, module) == ["the module has no variable 'c'", "'a' is missing"]


def test_the_schema_contains_only_the_used_resources() -> None:
    assert sorted(name for name in SCHEMA["resources"] if "google" in name) == extract_schema.used_resources(MODULE)
    assert extract_schema.TARGET.stat().st_size <= 100_000


def _grants() -> set[tuple[str, str]]:
    modules = [load_module(MODULE), load_module(MODULE / "jobs")]
    return {
        (kind, body["role"].strip('"'))
        for module in modules
        for kind, _, body in resources(module)
        if kind.endswith("_iam_member") and body["role"].startswith('"')
    }


def test_the_grants_are_the_minimum() -> None:
    # Those of the accounts of other commands are compared with what `bqdump render iam` prints.
    assert _grants() == {
        ("google_bigquery_dataset_iam_member", "roles/bigquery.dataViewer"),
        ("google_bigquery_dataset_iam_member", "roles/bigquery.metadataViewer"),
        ("google_project_iam_member", "roles/bigquery.dataViewer"),
        ("google_project_iam_member", "roles/bigquery.metadataViewer"),
        ("google_project_iam_member", "roles/bigquery.jobUser"),
        ("google_project_iam_member", "roles/bigquery.readSessionUser"),
        ("google_storage_bucket_iam_member", "roles/storage.objectUser"),
        ("google_storage_bucket_iam_member", "roles/storage.legacyBucketReader"),
        ("google_cloud_run_v2_job_iam_member", "roles/run.invoker"),
        ("google_cloud_run_v2_job_iam_member", "roles/run.jobsExecutorWithOverrides"),
        ("google_project_iam_member", "roles/run.viewer"),
        ("google_project_iam_member", "roles/workflows.invoker"),
        ("google_project_iam_member", "roles/logging.logWriter"),
        ("google_project_iam_member", "roles/storage.objectViewer"),
        ("google_artifact_registry_repository_iam_member", "roles/artifactregistry.writer"),
        ("google_secret_manager_secret_iam_member", "roles/secretmanager.secretAccessor"),
        ("google_kms_crypto_key_iam_member", "roles/cloudkms.signerVerifier"),
        ("google_service_account_iam_member", "roles/iam.serviceAccountUser"),
        ("google_pubsub_topic_iam_member", "roles/pubsub.publisher"),
        ("google_project_iam_member", "roles/eventarc.eventReceiver"),
        ("google_cloud_run_v2_service_iam_member", "roles/run.invoker"),
    }


def test_only_a_pattern_of_datasets_is_granted_on_the_project(module: dict[str, Any]) -> None:
    [body] = [body for _, name, body in resources(module) if name == "read_datasets"]
    assert body["count"] == "${local.has_pattern ? 1 : 0}"
    [body] = [body for kind, name, body in resources(module) if name == "read_dataset" and "dataset" in kind]
    assert body["for_each"] == "${local.named_datasets}"


def _text(value: str) -> str:
    return value.strip('"')


def test_the_accounts_of_a_vault_have_what_copies_and_prunes_were_run_with_and_no_more(vault: dict[str, Any]) -> None:
    found = {(kind, name): body for kind, name, body in resources(vault)}
    for account, expected in (("copier", COPIER), ("pruner", PRUNER)):
        assert tuple(map(_text, found["google_project_iam_custom_role", account]["permissions"])) == expected
    granted = {
        tuple(re.sub(r"^\$\{(.*)\}$", r"\1", _text(body[part])) for part in ("bucket", "role", "member"))
        for (kind, _), body in found.items()
        if kind == "google_storage_bucket_iam_member"
    }
    own, known = "google_storage_bucket.vault.name", "time_sleep.accounts_known.triggers"
    assert granted == {
        (own, "google_project_iam_custom_role.copier.id", f'{known}["copier"]'),
        (own, "google_project_iam_custom_role.pruner.id", f'{known}["pruner"]'),
        ("var.source_bucket", "roles/storage.objectViewer", f'{known}["copier"]'),
    }


def test_every_role_is_explained() -> None:
    security = (ROOT / "SECURITY.md").read_text()
    own = re.findall(r'"(roles/[\w.]+)"', (MODULE / "identity.tf").read_text())
    assert [role for role in {*own, *(role for _, role in _grants())} if f"`{role}`" not in security] == []


def test_read_sessions_are_granted_only_where_the_read_route_is_used(module: dict[str, Any]) -> None:
    [body] = [body for _, name, body in resources(module) if name == "read_sessions"]
    assert body["count"] == "${var.read_route ? 1 : 0}"


def test_the_job_can_be_destroyed_by_default(module: dict[str, Any]) -> None:
    assert named(module, "variable")["deletion_protection"]["default"] is False


def test_the_job_sets_variables_that_bqdump_reads(module: dict[str, Any]) -> None:
    environment = _local(module, "environment")
    names = set(re.findall(r"\b([A-Z_]{5,})\s*=", environment))
    own = {"PROJECT_ID", "SOURCE_DATASET", "DESTINATION_BUCKET", "BQDUMP_JOB_PROJECT", "BQDUMP_KMS_KEY"}
    assert names == own
    assert names <= {setting.env for setting in SETTINGS}


def test_channels_are_required(module: dict[str, Any]) -> None:
    assert "default" not in named(module, "variable")["notification_channels"]


def _local(module: dict[str, Any], name: str) -> Any:
    [value] = [block[name] for block in module["locals"] if name in block]
    return value


def test_the_module_deploys_the_workflow_that_bqdump_renders(module: dict[str, Any]) -> None:
    [workflow] = [body for kind, _, body in resources(module) if kind == "google_workflows_workflow"]
    path = re.search(r"\$\{path\.module}/([^\"]+)\"", workflow["source_contents"])
    assert path
    assert (MODULE / path.group(1)).read_text() == workflow_source()


def test_the_builder_reads_the_sources_only(module: dict[str, Any]) -> None:
    (body,) = [body for _, name, body in resources(module) if name == "build_reads_sources"]
    assert "_cloudbuild" in body["condition"][0]["expression"]


def test_every_account_can_be_deployed_by_the_deployers(module: dict[str, Any]) -> None:
    made = {name for kind, name, _ in resources(module) if kind == "google_service_account"}
    assert set(re.findall(r"google_service_account\.(\w+)", str(_local(module, "accounts")))) == made
