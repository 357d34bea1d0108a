"""The Terraform module, evaluated: what it creates is what `bqdump render` prints for the same deployment."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from bqdump.core.settings.resolve import environment, file, flags, resolve
from bqdump.core.settings.target import Target
from bqdump.render.alerts import DUE, hours_between, metrics, overdue_hours, policies
from bqdump.render.append_only import COPIER, PRUNER, TITLE, expression
from bqdump.render.commands import COPY, OF_THE_OBJECTIVE, PRUNE, RUN
from bqdump.render.deployment import Deployment, Secret
from bqdump.render.deployment import environment as variables_of
from bqdump.render.iam import accounts, build_account
from bqdump.render.job import Work, container_of, place_of_copies
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
    {"project": "my-jobs", "dataset": "sales", "bucket": "my-exports", "prefix": "hourly", "copy_to": "s3://copies/h"},
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
    "summer": {"schedule": "0 3 * 6-8 *", "jobs": {"drill": {"schedule": "0 6 * * 0,3"}}},
    "unscheduled": {"schedule": "", "jobs": {"verify": {"schedule": "0 7 * * *"}}},
    "objective": {"settings": {"BQDUMP_RPO": "26h"}, "jobs": {"drill": {"schedule": "0 6 * * *"}}},
    "objective_and_drills_by_hand": {"settings": {"BQDUMP_RPO": "26h"}, "jobs": {"drill": {"sample": "10%"}}},
    "objective_and_weekly_checks": {"settings": {"BQDUMP_RPO": "26h"}, "jobs": {"verify": {"schedule": "0 6 * * 0"}}},
    "objective_in_days": {"schedule": "0 3 * * 0", "settings": {"BQDUMP_RPO": " 9 D "}},
    "own_hours": {"hours_without_export": 5, "jobs": {"drill": {"schedule": "0 6 * * 0", "hours": "0"}}},
    "spaces": {"dataset": " sales , ops", "events": True, "jobs": {"drill": {"schedule": "0 6 * * 0"}}},
    "comma": {"dataset": "sales,", "events": True},
    "pattern": {"dataset": "ops_?", "settings": {"BQDUMP_PREFIX": "x/y"}, "events": True},
    "several": {
        "dataset": "sales,ops_*", "settings": {"BQDUMP_PREFIX": "x.y"}, "events": True,
        "jobs": {"drill": {"schedule": "0 6 * * 0"}}, "events_service": "receiver",
    },
    "drills": {
        "name": "sales-nightly",
        "jobs": {
            "drill": {"schedule": "0 6 * * 0", "sample": "10%"},
            "verify": {"schedule": "0 7 * * *", "image": "other:0.1.0", "read": "5%", "memory": "4Gi"},
        },
    },
    "copies": {
        "settings": {"BQDUMP_KEEP_DAILY": "7", "BQDUMP_PRUNE": "true"},
        "secrets": {"AWS_SECRET_ACCESS_KEY": {"secret": "aws", "version": "1"}},
        "jobs": {
            "copy": {"schedule": "0 5 * * *", "dest": "gs://my-copies/sales", "keep-daily": "30", "tasks": "4"},
            "prune": {"schedule": "0 7 * * *"},
            "restore": {"into": "my-jobs.restored", "replace": "true"},
        },
    },
    "s3": {"jobs": {"copy": {"dest": "s3://copies/sales", "all": "true"}}},
    "workflow": {
        "workflow": True, "workflow_schedule": "0 1 * * *", "exports": ITEMS, "events": True,
        "jobs": {"drill": {"schedule": "0 6 * * 0"}}, "settings": {"BQDUMP_PREFIX": "nightly"},
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
    """A set of variables, what Terraform plans for it, and what `bqdump render` takes for the same.

    deployments: by command, the export's first; watched: what the alerts of each are about.
    """

    variables: dict[str, Any]
    planned: Planned
    deployments: dict[str, Deployment]
    watched: dict[str, Watched]

    @property
    def deployment(self) -> Deployment:
        """That of the export."""
        return self.deployments[RUN]

    def entry(self, command: str) -> dict[str, str]:
        """What `jobs` has of a command."""
        return dict(self.variables.get("jobs", {}).get(command, {}))

    def copies(self, command: str) -> Target | None:
        """Where a copy writes to."""
        dest = self.entry(command).get("dest", "") if command == COPY else ""
        return place_of_copies(dest) if dest else None


def case_of(name: str, planned: Planned) -> Case:
    variables = BASE | CASES[name]
    (job,) = [one for one in planned.of("google_cloud_run_v2_job") if one["name"] == variables.get("name", "bqdump")]
    (container,) = job["template"][0]["template"][0]["containers"]
    values = {one["name"]: one["value"] for one in container["env"] if not one["value_source"]}
    # The program takes each variable that the module sets.
    settings = resolve(environment(values))
    by_workflow = bool(variables.get("workflow_schedule"))
    run = Deployment(
        settings=settings,
        region=variables["region"],
        name=job["name"],
        timeout_seconds=int(variables.get("timeout", "14400s").removesuffix("s")),
        schedule=variables["workflow_schedule"] if by_workflow else variables.get("schedule", "0 3 * * *"),
        read_route=variables.get("read_route", False),
        append_only=variables.get("append_only", False),
        secrets=tuple(Secret(env, one["secret"], one["version"]) for env, one in variables.get("secrets", {}).items()),
    )
    exports = exported_by_workflow(run, ITEMS, "exports") if by_workflow else (exported(settings),)
    billed = variables.get("alert_bytes_billed", 0)
    case = Case(variables, planned, {RUN: run}, {RUN: Watched((CHANNEL,), exports, by_workflow, billed=billed)})
    for command, entry in variables.get("jobs", {}).items():
        case.deployments[command] = replace(
            run,
            command=command,
            schedule=entry.get("schedule", ""),
            memory=entry.get("memory", ""),
            tasks=int(entry.get("tasks", 10)),
            secrets=run.secrets if command != PRUNE else (),
        )
        places = case.copies(command)
        about = exported(settings)._replace(target=str(places)) if places else exported(settings)
        scheduled = bool(entry.get("schedule") or (command in OF_THE_OBJECTIVE and settings.rpo))
        case.watched[command] = Watched((CHANNEL,), (about,), scheduled=scheduled)
    return case


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


def hours_of(case: Case, command: str) -> int:
    """After how many hours something is overdue, 0 for never."""
    given = case.variables.get("hours_without_export") if command == RUN else case.entry(command).get("hours")
    deployment = case.deployments[command]
    scheduled = deployment.schedule or (command in OF_THE_OBJECTIVE and deployment.settings.rpo)
    return (overdue_hours(deployment) if scheduled else 0) if given is None else int(given)


def check_alerts(case: Case) -> None:
    alerts = {one["display_name"]: camel(one) for one in case.planned.of("google_monitoring_alert_policy")}
    expected = {}
    for command, deployment in case.deployments.items():
        scheduled = replace(deployment, schedule=deployment.schedule or "0 3 * * *")
        for policy in policies(scheduled, case.watched[command]):
            text = json.dumps(policy)
            if rendered := policy["userLabels"].get("hours"):
                hours = hours_of(case, command)
                text = text.replace(f"[{rendered}h]", f"[{hours}h]").replace(f"in {rendered} h", f"in {hours} h")
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
    made = [metric for deployment in case.deployments.values() for metric in metrics(deployment)]
    assert sorted(planned, key=lambda one: one["name"]) == sorted(made, key=lambda one: one["name"])


def check_jobs(case: Case) -> None:
    jobs = {one["name"]: one["template"][0] for one in case.planned.of("google_cloud_run_v2_job")}
    assert sorted(jobs) == sorted(deployment.job for deployment in case.deployments.values())
    for command, deployment in case.deployments.items():
        entry = case.entry(command)
        work = Work(
            into=entry.get("into", ""),
            dest=entry.get("dest", ""),
            every="all" in entry,
            rules=[flag.replace("-", "_") for flag in entry if flag.startswith("keep-")],
            sample=entry.get("sample", entry.get("read", "")),
            tasks=int(entry.get("tasks", 0)),
        )
        rules = resolve(
            flags({flag.replace("-", "_"): value for flag, value in entry.items() if flag.startswith("keep-")}),
            environment(variables_of(deployment.settings)),
        )
        made = container_of(replace(deployment, settings=rules if work.rules else deployment.settings), work)
        planned = jobs[deployment.job]
        task = planned["template"][0]
        (container,) = task["containers"]
        assert (planned["task_count"], task["max_retries"]) == (made.tasks, made.retries)
        more = ["--replace"] if "replace" in entry else []
        assert container["args"][:1] == made.arguments[:1]
        assert sorted(container["args"][1:]) == sorted([*made.arguments[1:], *more])
        assert container["resources"][0]["limits"]["memory"] == deployment.job_memory
        values = {one["name"]: one["value"] for one in container["env"] if not one["value_source"]}
        assert resolve(environment(values)) == replace(
            resolve(environment(made.environment)), job_project=case.variables["project"]
        )
        assert values.get("BQDUMP_DRILL_PROJECT") == made.environment.get("BQDUMP_DRILL_PROJECT")
        secrets = {one["name"] for one in container["env"] if one["value_source"]}
        # A pruner has no secrets, such as the key that signs.
        assert secrets == {secret.variable for secret in deployment.secrets if command != PRUNE}


def check_schedules(case: Case) -> None:
    name, given = case.deployment.name, case.variables
    made = {one["name"]: one for one in case.planned.of("google_cloud_scheduler_job")}
    expected = {one.job: one.schedule for one in case.deployments.values()}
    if case.watched[RUN].by_workflow:
        expected |= {name: "", f"{name}-workflow": given["workflow_schedule"]}
    assert {key: one["schedule"] for key, one in made.items()} == {key: text for key, text in expected.items() if text}
    for key, one in made.items():
        (target,) = one["http_target"]
        path = f"workflows/{name}/executions" if key.endswith("-workflow") else f"jobs/{key}:run"
        # The address of the workflow is known after apply.
        assert key.endswith("-workflow") or target["uri"].endswith(path)
        body = json.loads(base64.b64decode(target["body"]))
        assert body == ({"argument": json.dumps({"exports": ITEMS}, separators=(",", ":"), sort_keys=True)}
                        if key.endswith("-workflow") else {})  # fmt: skip


def object_of(one: Exported) -> tuple[str, str]:
    """The bucket and the name of the object that is written when this export is published."""
    name = "latest.json" if one.dataset.isidentifier() else "project.json"
    bucket, _, prefix = one.target.removeprefix("gs://").partition("/")
    return bucket, f"{prefix}_bqdump/{name}"


def check_events(case: Case) -> None:
    made = {(one["bucket"], one["object_name_prefix"]) for one in case.planned.of("google_storage_notification")}
    expected = {object_of(one) for one in case.watched[RUN].exports}
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
    workflow = bool(variables.get("workflow"))
    items = ITEMS[: len(variables["exports"])] if variables.get("workflow") else []
    own = [case.deployment.settings]
    for item in items:
        values = {key: value for key, value in item.items() if key not in ("tasks", "copy_to")}
        own.append(resolve(file(values, "exports"), environment(variables_of(case.deployment.settings))))
    expected = set()
    for settings in own:
        deployment = replace(case.deployment, settings=settings)
        made = [*accounts(deployment, schedule=False, workflow=workflow), build_account(deployment)]
        for command in variables.get("jobs", {}):
            of_command = replace(case.deployments[command], settings=settings)
            made += accounts(of_command, schedule=False, copies=case.copies(command))
        for account in made:
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
    conditions = [
        (one.get("condition") or [{}])[0]
        for at, every in case.planned.resources.items()
        for one in every.values()
        if at.startswith("google_storage_bucket_iam_member.write_objects")
    ]
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


def settings(**values: str) -> dict[str, Any]:
    return {"settings": values}


def export(**values: str) -> dict[str, Any]:
    item = {"project": "my-jobs", "dataset": "sales", "bucket": "my-exports"} | values
    return {"workflow": True, "exports": [{key: value for key, value in item.items() if value}]}


KEEPS = {"BQDUMP_PATH": "{run}/{table}_*.{ext}"}
# What Terraform's core refuses by the validation or the type of a variable.
INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "short": ({"name": "bq"}, "6 to 20 lowercase letters"),
    "long": ({"name": "bqdump-of-the-sales-department"}, "6 to 20 lowercase letters"),
    "latest": ({"secrets": {"A": {"secret": "s", "version": "latest"}}}, "Name a version by its number"),
    "kind": ({"tasks": "many"}, "a number is required"),
}  # fmt: skip
# What the preconditions refuse, each in one sentence.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "word": ({"jobs": {"verify": {"schedule": "daily"}}}, "The schedule daily is none: expected minute (0-59)"),
    "four": ({"schedule": "0 3 * *"}, "The schedule 0 3 * * is none"),
    "letters": ({"jobs": {"drill": {"schedule": "0 3 * * monday"}}}, "The schedule 0 3 * * monday is none"),
    "minute": ({"schedule": "99 3 * * *"}, "The schedule 99 3 * * * is none"),
    "backwards": ({"schedule": "0 5-3 * * *"}, "The schedule 0 5-3 * * * is none"),
    "step": ({"schedule": "*/0 3 * * *"}, "The schedule */0 3 * * * is none"),
    "month": ({"workflow": True, "workflow_schedule": "0 3 * foo *", **export()}, "The schedule 0 3 * foo * is none"),
    "no_day": ({"schedule": "0 3 31 2 *"}, "The schedule 0 3 31 2 * never starts anything."),
    "zone": ({"time_zone": "Berlin"}, 'time_zone: invalid value "Berlin"; expected a time zone such as Europe/Berlin.'),
    "region": ({"region": "EU"}, 'region: invalid value "EU"'),
    "project": ({"project": "my jobs"}, 'project: invalid value "my jobs"; expected a project id.'),
    "source": ({"source_project": "a/b"}, 'source_project: invalid value "a/b"'),
    "nothing": ({"dataset": " , "}, 'dataset: invalid value " , "; expected ids and patterns'),
    "qualified": ({"dataset": "p.sales"}, 'dataset: invalid value "p.sales"'),
    "bucket": ({"bucket": "gs://my-exports"}, "expected the name of a bucket, without gs://."),
    "capitals": ({"bucket": "My-Exports"}, 'bucket: invalid value "My-Exports"'),
    "location": ({"bucket_location": "EU!"}, 'bucket_location: invalid value "EU!"'),
    "key": ({"kms_key": "my-key"}, 'kms_key: invalid value "my-key"; expected projects/…/cryptoKeys/K.'),
    "job_key": ({"job_kms_key": f"{KEY}/cryptoKeyVersions/1"}, "job_kms_key: invalid value"),
    "image_latest": ({"image": "registry/bqdump:latest"}, "registry/bqdump:latest may change between two tasks."),
    "image_untagged": ({"image": "registry/bqdump"}, 'image: invalid value "registry/bqdump"'),
    "hours": ({"timeout": "4h"}, 'timeout: invalid value "4h"; expected a number of seconds'),
    "too_long": ({"timeout": "700000s"}, 'timeout: invalid value "700000s"'),
    "half_hours": ({"hours_without_export": 0.5}, 'hours_without_export: invalid value "0.5"'),
    "tasks": ({"tasks": 0}, 'tasks: invalid value "0"; expected an integer from 1 to 10000.'),
    "half_task": ({"tasks": 2.5}, 'tasks: invalid value "2.5"'),
    "many_tasks": ({"tasks": 10_001}, 'tasks: invalid value "10001"'),
    "retries": ({"max_retries": 11}, 'max_retries: invalid value "11"'),
    "memory": ({"memory": "512MB"}, 'memory: invalid value "512MB"; expected a size such as 512Mi.'),
    "cpu": ({"cpu": "one"}, 'cpu: invalid value "one"'),
    "soft_delete": ({"bucket_soft_delete_seconds": 3600}, 'bucket_soft_delete_seconds: invalid value "3600"'),
    "billed": ({"alert_bytes_billed": -1}, 'alert_bytes_billed: invalid value "-1"'),
    "auto_close": ({"auto_close": "60s"}, 'auto_close: invalid value "60s"'),
    "label": ({"labels": {"Team": "x"}}, 'labels: invalid value "Team"'),
    "label_value": ({"labels": {"team": "Data"}}, 'labels: team: invalid value "Data"'),
    "channel": ({"notification_channels": ["7"]}, 'notification_channels: invalid value "7"'),
    "deployer": ({"deployers": ["me"]}, 'deployers: invalid value "me"'),
    "service": ({"events": True, "events_service": "My_Service"}, 'events_service: invalid value "My_Service"'),
    "no_events": ({"events_service": "receiver"}, "events_service: there are no events. Set events = true."),
    "to": (settings(BQDUMP_TO="gs://b"), "settings: BQDUMP_TO is not a setting of a job."),
    "misspelt": (settings(BQDUMP_FROMAT="csv"), "settings: BQDUMP_FROMAT is not a setting of a job."),
    "run_id": (settings(BQDUMP_RUN_ID="nightly"), "settings: BQDUMP_RUN_ID is not a setting of a job."),
    "objective": (settings(BQDUMP_RPO="24h"), "BQDUMP_RPO 24h cannot be met: the schedule leaves 24 hours between two"),
    "proof": (
        {"settings": {"BQDUMP_RPO": "26h"}, "jobs": {"drill": {"schedule": "0 6 * * 0"}}},
        "BQDUMP_RPO 26h cannot be met: the schedule leaves 168 hours between two drills.",
    ),
    "ping": (settings(BQDUMP_PING="https://x"), "settings: anybody who sees the job could read BQDUMP_PING."),
    "notify": (settings(BQDUMP_NOTIFY="https://x"), "settings: anybody who sees the job could read BQDUMP_NOTIFY."),
    "own_variable": (settings(PROJECT_ID="p"), "settings: PROJECT_ID has a variable of its own: source_project."),
    "format": (settings(BQDUMP_FORMAT="xml"), 'settings: BQDUMP_FORMAT: invalid value "xml"; expected csv, json'),
    "switch": (settings(BQDUMP_INCREMENTAL="perhaps"), "settings: BQDUMP_INCREMENTAL: invalid value"),
    "size": (settings(BQDUMP_FILE_SIZE="big"), "settings: BQDUMP_FILE_SIZE: invalid value"),
    "unit": (settings(BQDUMP_KEEP_WITHIN="30"), "settings: BQDUMP_KEEP_WITHIN: invalid value"),
    "count": (settings(BQDUMP_CONCURRENCY="1001"), "settings: BQDUMP_CONCURRENCY: invalid value"),
    "risk": (settings(BQDUMP_ALLOW="skiped"), "settings: BQDUMP_ALLOW: invalid value"),
    "sign": (settings(BQDUMP_SIGN="signing.key"), "settings: BQDUMP_SIGN: invalid value"),
    "template": (settings(BQDUMP_PATH="{table}/{tabel}_*"), "settings: BQDUMP_PATH: invalid value"),
    "twice": (
        {"settings": {"SALT": "x"}, "secrets": {"SALT": {"secret": "s", "version": "1"}}},
        "secrets: SALT is in settings as well.",
    ),
    "secret_project": ({"secrets": {"PROJECT_ID": {"secret": "s", "version": "1"}}}, "PROJECT_ID is in settings"),
    "secret_name": ({"secrets": {"SALT": {"secret": "a/b", "version": "1"}}}, 'secrets: SALT: invalid value "a/b"'),
    "no_dataset": (export(dataset=""), "exports[0]: dataset is missing."),
    "export_key": (export(datset="x"), "exports[0]: datset is not a key of an export."),
    "export_value": (export(format="xml"), 'exports[0]: format: invalid value "xml"'),
    "export_tasks": (export(tasks="many"), 'exports[0]: tasks: invalid value "many"'),
    "export_copy": (export(copy_to="backup"), 'exports[0]: copy_to: invalid value "backup"'),
    "no_exports": ({"workflow": True, "workflow_schedule": "0 1 * * *"}, "workflow_schedule: exports is empty"),
    "no_workflow": ({"workflow_schedule": "0 1 * * *"}, "workflow_schedule: there is no workflow."),
    "unused": ({"exports": ITEMS[:1]}, "exports: there is no workflow."),
    "command": ({"jobs": {"backup": {}}}, "jobs: backup is not a command of a job: expected drill, verify, copy"),
    "flag": ({"jobs": {"drill": {"smaple": "10%"}}}, "jobs: drill: smaple is not a flag of the command."),
    "switched": ({"jobs": {"restore": {"into": "x", "replace": "yes"}}}, "jobs: restore: replace: invalid value"),
    "no_dest": ({"jobs": {"copy": {"schedule": "0 5 * * *"}}}, "jobs: copy: dest is missing"),
    "folder": ({"jobs": {"copy": {"dest": "./copies"}}}, "jobs: copy: dest: invalid value"),
    "lock": ({"jobs": {"copy": {"dest": "gs://vault", "lock": "35d"}}}, "locked copies are for the module"),
    "other_dest": ({"jobs": {"drill": {"dest": "gs://vault"}}}, "jobs: drill: dest is not a flag of the command."),
    "no_rules": ({"jobs": {"prune": {"schedule": "0 7 * * *"}}}, "jobs: prune: settings have no rule of what to keep"),
    "no_into": ({"jobs": {"restore": {}}}, "jobs: restore: into is missing"),
    "job_memory": ({"jobs": {"verify": {"memory": "2GB"}}}, "jobs: verify: memory: invalid value"),
    "job_hours": ({"jobs": {"drill": {"hours": "1.5"}}}, "jobs: drill: hours: invalid value"),
    "one_folder": ({"append_only": True}, "append_only: without {run} in BQDUMP_PATH"),
    "prunes": (
        {"append_only": True, "settings": KEEPS | {"BQDUMP_PRUNE": "true"}},
        "append_only: a run that prunes deletes earlier runs. Remove BQDUMP_PRUNE from settings, and add prune",
    ),
}  # fmt: skip
REFUSED_GROUPS = [list(REFUSED)[at::4] for at in range(4)]


def test_invalid_variables_are_refused_before_anything_is_created(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        evaluate(tmp_path, {name: BASE | variables for name, (variables, _) in INVALID.items()})
    for name, (_, message) in INVALID.items():
        assert [found for found in refused.value.messages.get(name, []) if message in found], name


@pytest.mark.parametrize("names", REFUSED_GROUPS, ids=["_".join(names[:2]) for names in REFUSED_GROUPS])
def test_a_wrong_value_is_refused_in_one_sentence(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(RefusedError) as refused:
        evaluate(tmp_path, {name: BASE | REFUSED[name][0] for name in names})
    found = refused.value.messages
    assert {name: len(found.get(name, ())) for name in names} == dict.fromkeys(names, 1), str(found)[:4000]
    for name in names:
        assert REFUSED[name][1] in found[name][0]


def test_an_append_only_job_makes_no_copies(tmp_path: Path) -> None:
    append_only = CASES["append_only"]
    items = [ITEMS[0] | {"prefix": str(at), "copy_to": place} for at, place in enumerate(("gs://bbb/c", "s3://bbb/c"))]
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
        assert accounts == {f"{name}-{one}" for one in ("copier", "pruner", "scheduler")}
        roles = {
            one["role_id"].rpartition("_")[2]: one["permissions"]
            for one in planned[case].of("google_project_iam_custom_role")
        }
        assert roles == {"copier": list(COPIER), "pruner": list(PRUNER)}
    (bucket,) = planned["own"].of("google_storage_bucket")
    assert bucket["encryption"][0]["default_kms_key_name"] == KEY


VAULT: dict[str, Any] = {
    "project": "vault", "bucket": "my-vault", "bucket_location": "EU", "source_bucket": "my-exports",
    "source_project": "my-jobs", "dataset": "sales", "source_prefix": "nightly", "prefix": "kept/",
    "region": "europe-west1", "notification_channels": [CHANNEL],
    "settings": {"BQDUMP_TRUST": "env:EXPORTER", "BQDUMP_SIGN": "env:COPIER", "BQDUMP_KEEP_DAILY": "35"},
    "secrets": {"COPIER": {"secret": "copier", "version": "1"}},
    "jobs": {
        "copy": {"schedule": "0 5 * * *", "image": "registry/bqdump:0.1.0", "lock": "40d", "all": "true"},
        "prune": {"schedule": "0 6 * * 0", "image": "registry/bqdump:0.1.0"},
        "verify": {"schedule": "0 7 * * *", "image": "registry/bqdump:0.1.0"},
    },
}  # fmt: skip


def test_a_vault_has_jobs_schedules_and_alerts_as_render_prints_them(tmp_path: Path) -> None:
    planned = evaluate(tmp_path, {"vault": VAULT}, ("bucket",), f"{MODULE}/vault")["vault"]
    jobs = {one["name"]: one["template"][0]["template"][0] for one in planned.of("google_cloud_run_v2_job")}
    alerts = {one["display_name"]: camel(one) for one in planned.of("google_monitoring_alert_policy")}
    expected = {}
    for command, entry in VAULT["jobs"].items():
        place = (
            {"bucket": "my-exports", "prefix": "nightly"}
            if command == COPY
            else {"bucket": "my-vault", "prefix": "kept"}
        )
        given = {"project": "my-jobs", "dataset": "sales", "trust": "env:EXPORTER"}
        given |= {"sign": "env:COPIER"} if command != PRUNE else {}
        given |= {"keep_daily": "35"} if command == PRUNE else {}
        deployment = Deployment(
            settings=resolve(flags(given | place)), region="europe-west1", command=command, schedule=entry["schedule"]
        )
        dest = "gs://my-vault/kept" if command == COPY else ""
        made = container_of(deployment, Work(dest=dest, every=bool(dest), lock=entry.get("lock", "")))
        (container,) = jobs[deployment.job]["containers"]
        assert sorted(container["args"]) == sorted(argument for argument in made.arguments)
        values = {one["name"]: one["value"] for one in container["env"] if not one["value_source"]}
        assert resolve(environment(values)) == resolve(environment(made.environment))
        assert [one["name"] for one in container["env"] if one["value_source"]] == (
            ["COPIER"] if command != PRUNE else []
        )
        about = Exported("sales", "gs://my-vault/kept/")
        for policy in policies(deployment, Watched((CHANNEL,), (about,))):
            hours = int(policy["userLabels"].get("hours", 0))
            expected[policy["displayName"]] = json.loads(json.dumps(policy).replace(DUE, str(UNIX + 3600 * hours)))
    assert {one["name"]: one["schedule"] for one in planned.of("google_cloud_scheduler_job")} == {
        f"bqdump-{command}": entry["schedule"] for command, entry in VAULT["jobs"].items()
    }
    # Those of all jobs are there as well.
    assert {title for title in alerts if title not in expected} == {
        "bqdump: an execution takes too long", "bqdump: an execution was cancelled", "bqdump: a warning",
        "bqdump: not trusted",
    }  # fmt: skip
    for title, policy in expected.items():
        for one in (alerts[title], policy):
            one.pop("userLabels")
        assert alerts[title].pop("project") == "vault"
        assert alerts[title] == policy
    secrets = planned.resources["google_secret_manager_secret_iam_member.read_secrets"]
    assert list(secrets) == ["copier"]


VAULT_REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "command": ({"jobs": {"drill": {}}}, "jobs: drill is not a job of a vault"),
    "flag": ({"jobs": {"copy": {"lok": "35d", "image": "r/b:1"}}}, "jobs: copy: lok is not a flag of the command."),
    "image": ({"jobs": {"copy": {}}}, "jobs: copy: image is missing"),
    "dataset": ({"dataset": ""}, "dataset is missing"),
    "rules": ({"settings": {"BQDUMP_TRUST": "env:EXPORTER"}}, "jobs: prune: settings have no rule of what to keep"),
    "trust": ({"settings": {"BQDUMP_KEEP_DAILY": "7"}}, "jobs: verify: settings have no BQDUMP_TRUST"),
    "schedule": ({"jobs": {"copy": {"image": "r/b:1", "schedule": "daily"}}}, "The schedule daily is none"),
    "setting": (
        {"settings": VAULT["settings"] | {"BQDUMP_KEEP_LAST": "x"}},
        "settings: BQDUMP_KEEP_LAST: invalid value",
    ),
    "misspelt": ({"settings": VAULT["settings"] | {"BQDUMP_TRUTS": "x"}}, "settings: BQDUMP_TRUTS is not a setting"),
}


def test_what_a_vault_cannot_do_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as refused:
        evaluate(tmp_path, {name: VAULT | one for name, (one, _) in VAULT_REFUSED.items()}, (), f"{MODULE}/vault")
    found = refused.value.messages
    assert {name: len(found.get(name, ())) for name in VAULT_REFUSED} == dict.fromkeys(VAULT_REFUSED, 1), str(found)
    for name, (_, message) in VAULT_REFUSED.items():
        assert message in found[name][0]


def test_an_unknown_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match='No argument or block type is named "datset"'):
        evaluate(tmp_path, {"unknown": BASE | {"datset": "x"}})


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("schedule         = each.value.schedule", "schedule = [each.value.schedule]", "string required"),
        ("for_each = local.failures", "for_each = local.failurs", "has not been declared"),
        ("threshold_value         = 0", 'threshold_value = "none"', "a number is required"),
        ("var.jobs[each.value.command].hours}h", "var.jobs[each.value.sort].hours}h", "Unsupported attribute"),
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
