"""The Terraform module, evaluated: what it creates is what `bqdump render` prints for the same deployment."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from bqdump.core.settings.resolve import environment, file, resolve
from bqdump.render.alerts import DUE, hours_between, metrics, policies
from bqdump.render.append_only import COPIER, PRUNER, TITLE, expression
from bqdump.render.deployment import Deployment, Secret
from bqdump.render.deployment import environment as variables_of
from bqdump.render.iam import accounts, build_account
from bqdump.render.watched import Exported, Watched, exported, exported_by_workflow
from deploy.stand_in_provider import UNIX
from deploy.terraform_core import MODULE, Planned, RefusedError, evaluate

CHANNEL = "projects/p/notificationChannels/1"
BASE = {
    "project": "my-jobs", "region": "europe-west1", "dataset": "sales", "bucket": "my-exports",
    "notification_channels": [CHANNEL],
}  # fmt: skip
OUTPUTS = ("job", "image", "repository", "bucket", "published_topic", "service_account", "execute", "workflow")
KEY = "projects/p/locations/europe/keyRings/r/cryptoKeys/k"
ITEMS = [
    {"project": "my-jobs", "dataset": "sales", "bucket": "my-exports", "prefix": "nightly", "tasks": "4"},
    {"project": "my-jobs", "dataset": "sales", "bucket": "my-exports", "prefix": "hourly", "copy_to": "s3://c/h"},
    {"project": "other", "dataset": "crm, erp", "bucket": "their-exports"},
    {"project": "third", "dataset": "log_*", "bucket": "my-exports"},
]
# The hours after which something is overdue are those of `bqdump render alerts`; here a few of them in numbers.
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "weekly": {"schedule": "0 3 * * 0"},
    "hourly": {"schedule": "0 * * * *", "settings": {"BQDUMP_PREFIX": "/hourly/"}},
    "quarters": {"schedule": "*/15 * * * *"},
    "weekdays": {"schedule": "0 3 * * 1-5", "time_zone": "Asia/Tokyo"},
    "names": {"schedule": "30 2,14 * * MON-fri"},
    "office": {"schedule": "0 8-18/2 * * 1-5"},
    "monthly": {"schedule": "0 4 1 * *"},
    "fortnight": {"schedule": "0 4 1,15 * *"},
    "last_day": {"schedule": "0 12 31 * *"},
    "quarterly": {"schedule": "0 0 1 */3 *"},
    "either": {"schedule": "0 3 13 * 5"},
    "both": {"schedule": "0 3 */2 * 1"},
    "summer": {"schedule": "0 3 * 6-8 *", "drill_schedule": "0 6 * * 0,3"},
    "unscheduled": {"schedule": "", "verify_schedule": "0 7 * * *"},
    "own_hours": {"hours_without_export": 5, "hours_without_proof": 0, "drill_schedule": "0 6 * * 0"},
    "spaces": {"dataset": " sales , ops", "events": True, "drill_schedule": "0 6 * * 0"},
    "comma": {"dataset": "sales,", "events": True},
    "pattern": {"dataset": "ops_?", "settings": {"BQDUMP_PREFIX": "x/y"}, "events": True},
    "several": {
        "dataset": "sales,ops_*", "settings": {"BQDUMP_PREFIX": "x.y"}, "events": True,
        "drill_schedule": "0 6 * * 0", "events_service": "receiver",
    },
    "drills": {
        "drill_schedule": "0 6 * * 0", "drill_sample": "10%", "verify_schedule": "0 7 * * *", "verify_image": "other",
        "verify_share": "5%", "name": "sales-nightly",
    },
    "workflow": {
        "workflow": True, "workflow_schedule": "0 1 * * *", "exports": ITEMS, "events": True,
        "drill_schedule": "0 6 * * 0", "settings": {"BQDUMP_PREFIX": "nightly"},
    },
    "by_hand": {"workflow": True, "exports": ITEMS[:1]},
    "secrets": {
        "secrets": {"BQDUMP_NOTIFY": {"secret": "hook", "version": "3"}}, "deployers": ["group:a@example.com"],
        "kms_key": KEY, "job_kms_key": KEY, "read_route": True, "source_project": "data", "labels": {"team": "x"},
    },
    "existing": {"create_bucket": False, "detect_row_policies": False, "timeout": "90s", "alert_bytes_billed": 10**12},
    "append_only": {
        "append_only": True, "settings": {"BQDUMP_PATH": "{run}/{table}/{table}_*.{ext}"}, "dataset": "sales,ops",
    },
    "signed": {"settings": {"BQDUMP_SIGN": f"gcpkms://{KEY}/cryptoKeyVersions/1"}},
    "domain": {"project": "example.com:jobs", "image": "registry/image@sha256:1", "timeout": "604800s"},
}  # fmt: skip
GROUPS = [list(CASES)[at::4] for at in range(4)]


class Case(NamedTuple):
    """A set of variables, what Terraform plans for it, and what `bqdump render` takes for the same."""

    variables: dict[str, Any]
    planned: Planned
    deployment: Deployment
    watched: Watched


def case_of(name: str, planned: Planned) -> Case:
    variables = BASE | CASES[name]
    (job,) = [one for one in planned.of("google_cloud_run_v2_job") if one["name"] == variables.get("name", "bqdump")]
    (container,) = job["template"][0]["template"][0]["containers"]
    values = {one["name"]: one["value"] for one in container["env"] if not one["value_source"]}
    # The program takes each variable that the module sets.
    settings = resolve(environment(values))
    by_workflow = bool(variables.get("workflow_schedule"))
    deployment = Deployment(
        settings=settings,
        region=variables["region"],
        name=job["name"],
        timeout_seconds=int(variables.get("timeout", "14400s").removesuffix("s")),
        schedule=variables["workflow_schedule"] if by_workflow else variables.get("schedule", "0 3 * * *"),
        read_route=variables.get("read_route", False),
        append_only=variables.get("append_only", False),
        secrets=tuple(Secret(env, one["secret"], one["version"]) for env, one in variables.get("secrets", {}).items()),
    )
    exports = exported_by_workflow(deployment, ITEMS, "exports") if by_workflow else (exported(settings),)
    drill, verify = (variables.get(f"{kind}_schedule", "") for kind in ("drill", "verify"))
    watched = Watched((CHANNEL,), exports, by_workflow, drill, verify, variables.get("alert_bytes_billed", 0))
    return Case(variables, planned, deployment, watched)


def camel(value: Any) -> Any:
    """What a plan has as the API has it: no empty values, and a block that can be there once without its list."""
    once = {"condition_threshold", "condition_matched_log", "condition_prometheus_query_language", "trigger",
            "alert_strategy", "documentation", "notification_rate_limit", "metric_descriptor"}  # fmt: skip
    if isinstance(value, list):
        return [camel(one) for one in value]
    if not isinstance(value, dict):
        return value
    kept = {key: item[0] if key in once and item else item for key, item in value.items() if item not in (None, [], {})}
    return {re.sub(r"_(\w)", lambda found: found[1].upper(), key): camel(item) for key, item in kept.items()}


def hours_of(case: Case, kind: str) -> int:
    """After how many hours something is overdue, 0 for never. kind: export or proof."""
    schedule = case.deployment.schedule if kind == "export" else case.watched.drill
    given = case.variables.get(f"hours_without_{kind}")
    return (hours_between(schedule) if schedule else 0) if given is None else int(given)


def check_alerts(case: Case) -> None:
    alerts = {one["display_name"]: camel(one) for one in case.planned.of("google_monitoring_alert_policy")}
    expected = {}
    scheduled = msgspec.structs.replace(case.deployment, schedule=case.deployment.schedule or "0 3 * * *")
    for policy in policies(scheduled, case.watched):
        kind, text = policy["displayName"].partition("recent ")[2].partition(" ")[0], json.dumps(policy)
        if kind:
            hours, rendered = hours_of(case, kind), policy["userLabels"]["hours"]
            text = text.replace(f"[{rendered}h]", f"[{hours}h]").replace(f"within {rendered} h", f"within {hours} h")
            text = text.replace(DUE, str(UNIX + 3600 * hours))
            if not hours:
                continue
        expected[policy["displayName"]] = json.loads(text)
    assert set(alerts) == set(expected)
    for title, policy in expected.items():
        assert alerts[title].pop("project") == case.variables["project"]
        assert alerts[title].pop("userLabels")["app"] == policy.pop("userLabels")["app"]
        assert alerts[title] == policy


def check_metrics(case: Case) -> None:
    planned = [camel(one) for one in case.planned.of("google_logging_metric")]
    for one in planned:
        assert one.pop("project") == case.variables["project"]
    assert sorted(planned, key=lambda one: one["name"]) == sorted(
        metrics(case.deployment, case.watched), key=lambda one: one["name"]
    )


def check_jobs(case: Case) -> None:
    name, variables = case.deployment.name, case.variables
    jobs = {one["name"]: one for one in case.planned.of("google_cloud_run_v2_job")}
    assert sorted(jobs) == sorted(case.watched.jobs(case.deployment))
    of = {
        kind: jobs[job]["template"][0]["template"][0]
        for kind in ("drill", "verify")
        if (job := f"{name}-{kind}") in jobs
    }
    assert jobs[name]["template"][0]["template"][0]["containers"][0]["args"] == ["run"]
    for kind, task in of.items():
        (container,) = task["containers"]
        share = [f"--read={variables.get('verify_share', '10%')}"] if kind == "verify" else []
        assert (container["args"], task["max_retries"]) == ([kind, *share], 0)
        values = {one["name"]: one["value"] for one in container["env"]}
        assert values.get("BQDUMP_DRILL_SAMPLE", "") == (variables.get("drill_sample", "") if kind == "drill" else "")
        assert values.get("BQDUMP_DRILL_PROJECT", "") == (variables["project"] if kind == "drill" else "")


def check_schedules(case: Case) -> None:
    name, given = case.deployment.name, case.variables
    made = {one["name"]: one for one in case.planned.of("google_cloud_scheduler_job")}
    own = given.get("schedule", "0 3 * * *")
    expected = {name: "" if case.watched.by_workflow else own, f"{name}-workflow": given.get("workflow_schedule", "")}
    expected |= {f"{name}-drill": case.watched.drill, f"{name}-verify": case.watched.verify}
    assert {key: one["schedule"] for key, one in made.items()} == {key: text for key, text in expected.items() if text}
    for key, one in made.items():
        (target,) = one["http_target"]
        path = f"workflows/{name}/executions" if key.endswith("-workflow") else f"jobs/{key}:run"
        # The address of the workflow is known after apply.
        assert key.endswith("-workflow") or target["uri"].endswith(path)
        body = json.loads(base64.b64decode(target["body"]))
        assert body == ({"argument": json.dumps({"exports": ITEMS}, separators=(",", ":"), sort_keys=True)}
                        if key.endswith("-workflow") else {})  # fmt: skip


def objects_of(one: Exported) -> set[tuple[str, str]]:
    """The object that is written when this export is published, in each bucket where it may be."""
    name = "latest.json" if one.dataset.isidentifier() else "project.json"
    places = [target.removeprefix("gs://").partition("/") for target in one.targets]
    return {(bucket, f"{prefix}_bqdump/{name}") for bucket, _, prefix in places}


def check_events(case: Case) -> None:
    made = {(one["bucket"], one["object_name_prefix"]) for one in case.planned.of("google_storage_notification")}
    expected = {found for one in case.watched.exports for found in objects_of(one)}
    assert made == (expected if case.variables.get("events") else set())
    layout = case.deployment.settings.layout
    assert (layout.latest.name.split("/")[-1], layout.set_manifest.name.split("/")[-1]) == (
        "latest.json",
        "project.json",
    )


CUSTOM = "a custom role"
PLACES = {
    "google_bigquery_dataset_iam_member": "dataset {project}.{dataset_id}",
    "google_project_iam_member": "project {project}",
    "google_storage_bucket_iam_member": "bucket {bucket}",
    "google_cloud_run_v2_job_iam_member": "job {name}",
    "google_secret_manager_secret_iam_member": "secret {secret_id}",
    "google_kms_crypto_key_iam_member": "key {crypto_key_id}",
    "google_artifact_registry_repository_iam_member": "repository {repository}",
}


def check_grants(case: Case) -> None:
    """The roles and what they are on are those of `bqdump render iam`, for each export of the workflow as well."""
    name = case.deployment.name
    granted = {
        (
            one.get("role") or CUSTOM,
            place.format_map({"bucket": case.variables["bucket"], "repository": name, **_known(one)}),
        )
        for kind, place in PLACES.items()
        for one in case.planned.of(kind)
    }
    variables = case.variables
    flags = {"workflow": bool(variables.get("workflow")), "drill": bool(case.watched.drill)}
    items = ITEMS[: len(variables["exports"])] if variables.get("workflow") else []
    own = [case.deployment.settings]
    for item in items:
        values = {key: value for key, value in item.items() if key not in ("tasks", "copy_to")}
        own.append(resolve(file(values, "exports"), environment(variables_of(case.deployment.settings))))
    expected = set()
    for settings in own:
        deployment = msgspec.structs.replace(case.deployment, settings=settings)
        for account in (*accounts(deployment, schedule=False, **flags), build_account(deployment)):
            for grant in account.grants:
                custom = grant.role.startswith("projects/")
                if not custom or variables.get("detect_row_policies", True):
                    expected.add((CUSTOM if custom else grant.role, grant.on))
    expected |= {("roles/run.invoker", f"job {job}") for job in made_schedules(case)}
    if variables.get("workflow_schedule"):
        expected.add(("roles/workflows.invoker", f"project {variables['project']}"))
    if variables.get("events_service"):
        expected.add(("roles/eventarc.eventReceiver", f"project {variables['project']}"))
    assert granted == expected
    conditions = [(one.get("condition") or [{}])[0] for one in case.planned.of("google_storage_bucket_iam_member")
                  if one["role"] == "roles/storage.objectUser"]  # fmt: skip
    condition = {"title": TITLE, "expression": expression(), "description": None}
    assert conditions == [condition if variables.get("append_only") else {}] * len(conditions)


def made_schedules(case: Case) -> set[str]:
    """The jobs that have a schedule."""
    return {one["name"] for one in case.planned.of("google_cloud_scheduler_job")} - {f"{case.deployment.name}-workflow"}


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}


CHECKS = (check_alerts, check_metrics, check_jobs, check_schedules, check_events, check_grants)


@pytest.mark.parametrize("names", GROUPS, ids=["_".join(names[:2]) for names in GROUPS])
def test_the_module_creates_what_render_prints(tmp_path: Path, names: list[str]) -> None:
    planned = evaluate(tmp_path, {name: BASE | CASES[name] for name in names}, OUTPUTS)
    for name in names:
        case = case_of(name, planned[name])
        for check in CHECKS:
            try:
                check(case)
            except AssertionError as error:
                raise AssertionError(f"{name}: {check.__name__}: {error}") from error


def test_the_job_may_write_to_the_buckets_that_the_workflow_copies_to(tmp_path: Path) -> None:
    places = ("gs://second/sales", "gs://second/hr", "s3://third/sales", "gs://my-exports/copies")
    given = BASE | {"workflow": True, "exports": [ITEMS[0] | {"copy_to": place} for place in places]}
    planned = evaluate(tmp_path, {"copies": given, "without": BASE | {"workflow": True, "exports": ITEMS[:1]}}, OUTPUTS)
    granted = {
        name: [(one["bucket"], one["role"]) for one in planned[name].of("google_storage_bucket_iam_member")]
        for name in planned
    }
    more = [("second", "roles/storage.objectUser"), ("second", "roles/storage.legacyBucketReader")]
    assert sorted(granted["copies"]) == sorted([*granted["without"], *more])


@pytest.mark.parametrize(
    ("name", "hours"),
    [("weekdays", 74), ("hourly", 3), ("quarters", 3), ("office", 64), ("weekly", 170), ("last_day", 24 * 61 + 2)],
)
def test_the_hours_in_numbers(name: str, hours: int) -> None:
    assert hours_between(CASES[name]["schedule"]) == hours


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "short": ({"name": "bq"}, "6 to 20 lowercase letters"),
    "long": ({"name": "bqdump-of-the-sales-department"}, "6 to 20 lowercase letters"),
    "word": ({"verify_schedule": "daily"}, "A cron schedule has five fields"),
    "four": ({"schedule": "0 3 * *"}, "A cron schedule has five fields"),
    "letters": ({"drill_schedule": "0 3 * * monday"}, "A cron schedule has five fields"),
    "nothing": ({"dataset": " , "}, "Name datasets without their project"),
    "qualified": ({"dataset": "p.sales"}, "Name datasets without their project"),
    "hours": ({"timeout": "4h"}, "Write a number of seconds"),
    "latest": ({"secrets": {"A": {"secret": "s", "version": "latest"}}}, "Name a version by its number"),
    "tasks": ({"tasks": 0}, "Cloud Run runs 1 to 10000 tasks"),
    "kind": ({"tasks": "many"}, "a number is required"),
}  # fmt: skip


def test_invalid_variables_are_refused_before_anything_is_created(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        evaluate(tmp_path, {name: BASE | variables for name, (variables, _) in REFUSED.items()})
    for name, (_, message) in REFUSED.items():
        assert [found for found in refused.value.messages.get(name, []) if message in found], name


def test_an_append_only_job_makes_no_copies(tmp_path: Path) -> None:
    append_only = CASES["append_only"]
    items = [ITEMS[0] | {"prefix": str(at), "copy_to": place} for at, place in enumerate(("gs://b/c", "s3://b/c"))]
    allowed = {
        "no_copies": append_only | {"workflow": True, "exports": [{**ITEMS[0], "copy_to": ""}, ITEMS[-1]]},
        "not_append_only": {"workflow": True, "exports": items},
    }
    refused = {
        "other_bucket": append_only | {"workflow": True, "exports": items[:1]},
        "own_bucket": append_only
        | {"workflow": True, "exports": [ITEMS[-1], items[0] | {"copy_to": "gs://my-exports/c"}]},
        "s3": append_only | {"workflow": True, "exports": items[1:]},
    }
    with pytest.raises(RefusedError) as found:
        evaluate(tmp_path, {name: BASE | variables for name, variables in (allowed | refused).items()})
    assert {name: len(messages) for name, messages in found.value.messages.items()} == dict.fromkeys(refused, 1)
    assert "docs/vault.md" in found.value.messages["s3"][0]


def test_a_vault_is_a_bucket_whose_objects_can_be_locked(tmp_path: Path) -> None:
    base: dict[str, Any] = {
        "project": "vault",
        "bucket": "my-vault",
        "bucket_location": "EU",
        "source_bucket": "my-exports",
    }
    cases: dict[str, dict[str, Any]] = {
        "plain": base,
        "own": base | {"name": "sales-vault", "kms_key": KEY, "labels": {"team": "x"}},
    }
    planned = evaluate(tmp_path, cases, ("bucket",), f"{MODULE}/vault")
    for case, name in (("plain", "bqdump"), ("own", "sales-vault")):
        (bucket,) = planned[case].of("google_storage_bucket")
        assert (bucket["name"], bucket["enable_object_retention"], bucket["location"]) == ("my-vault", True, "EU")
        assert planned[case].outputs["bucket"] == "gs://my-vault"
        accounts = {one["account_id"] for one in planned[case].of("google_service_account")}
        assert accounts == {f"{name}-copier", f"{name}-pruner"}
        roles = {
            one["role_id"].rpartition("_")[2]: one["permissions"]
            for one in planned[case].of("google_project_iam_custom_role")
        }
        assert roles == {"copier": list(COPIER), "pruner": list(PRUNER)}
    (bucket,) = planned["own"].of("google_storage_bucket")
    assert bucket["encryption"][0]["default_kms_key_name"] == KEY


def test_an_unknown_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match='No argument or block type is named "datset"'):
        evaluate(tmp_path, {"unknown": BASE | {"datset": "x"}})


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("schedule         = each.value.schedule", "schedule = [each.value.schedule]", "string required"),
        ("for_each = local.failures", "for_each = local.failurs", "has not been declared"),
        ("threshold_value         = 0", 'threshold_value = "none"', "a number is required"),
        ("local.hours[each.value.kind]}h", "local.hours[each.value.sort]}h", "Unsupported attribute"),
    ],
)
def test_what_the_provider_or_the_core_would_refuse_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: str, wrong: str, message: str
) -> None:
    def mistaken(path: Path, *arguments: Any, **options: Any) -> str:
        return read(path, *arguments, **options).replace(right, wrong, 1)

    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", mistaken)
    with pytest.raises(RefusedError, match=message):
        evaluate(tmp_path, {"plain": BASE})
