"""Service accounts and grants, as commands with the reason of each. Every command may be repeated."""

from __future__ import annotations

import shlex
from typing import NamedTuple

from bqdump.render.deployment import Deployment


class Grant(NamedTuple):
    """A role, on what, for what reason, and the command that grants it.

    made_by: for a role that is made first, commands that are tried in turn: bring it back, look for it, make it.
    """

    role: str
    on: str
    why: str
    command: list[str]
    made_by: tuple[list[str], ...] = ()


class Account(NamedTuple):
    """A service account and what it may do."""

    email: str
    title: str
    grants: list[Grant]


def accounts(deployment: Deployment, *, schedule: bool = True, workflow: bool = False) -> list[Account]:
    """Every account that a deployment needs, with the least that it needs."""
    made = [Account(deployment.job_account, "bqdump: exports", _job_grants(deployment))]
    if schedule:
        grants = [_on_workflow(deployment)] if workflow else [_on_job(
            deployment, deployment.scheduler_account, "roles/run.invoker", "starts this one job as it is")]  # fmt: skip
        made.append(Account(deployment.scheduler_account, "bqdump: starts exports on schedule", grants))
    if workflow:
        email = deployment.workflow_account
        made.append(Account(email, "bqdump: runs the job for a list of datasets", [
            _on_job(deployment, email, "roles/run.jobsExecutorWithOverrides",
                    "starts this one job with other settings and another number of tasks"),
            _on_project(deployment.project, email, "roles/run.viewer",
                        "waits: the operations that it polls belong to the project, not to the job"),
            _on_dataset(deployment, email, "roles/bigquery.metadataViewer",
                        "counts the tables, for the number of tasks"),
            _on_project(deployment.project, email, "roles/logging.logWriter", "writes the workflow's log lines"),
        ]))  # fmt: skip
    return made


def _job_grants(deployment: Deployment) -> list[Grant]:
    settings, email = deployment.settings, deployment.job_account
    grants = [
        _on_dataset(deployment, email, "roles/bigquery.dataViewer", "lists the tables and exports them"),
        see_row_policies(deployment),
        _on_project(deployment.project, email, "roles/bigquery.jobUser",
                    "starts jobs in the project that pays; there is no smaller place for this role"),
        _on_bucket(settings.bucket, email, "roles/storage.objectUser",
                   "creates, reads, lists and deletes objects of this bucket; cannot change who may read them"),
        _on_bucket(settings.bucket, email, "roles/storage.legacyBucketReader",
                   "sees the bucket's location, retention policy and soft delete"),
    ]  # fmt: skip
    if deployment.reads:
        grants.append(_on_project(deployment.project, email, "roles/bigquery.readSessionUser",
                                  "opens read sessions, for the read route"))  # fmt: skip
    return grants


# Which right is in which role: the least that gives it. https://cloud.google.com/iam/docs/roles-permissions
RIGHTS = {
    "roles/bigquery.dataViewer": ("bigquery.datasets.get", "bigquery.tables.list", "bigquery.tables.get",
                                  "bigquery.tables.getData", "bigquery.tables.export"),
    "roles/bigquery.jobUser": ("bigquery.jobs.create",),
    "roles/bigquery.readSessionUser": ("bigquery.readsessions.create", "bigquery.readsessions.getData"),
    "roles/storage.objectUser": ("storage.objects.create", "storage.objects.get", "storage.objects.list",
                                 "storage.objects.update", "storage.objects.delete"),
    "roles/storage.legacyBucketReader": ("storage.buckets.get",),
}  # fmt: skip


def grant_of(deployment: Deployment, permission: str) -> Grant | None:
    """The grant that gives the job's account this permission, None for one that no export needs."""
    if permission == "bigquery.rowAccessPolicies.list":
        return see_row_policies(deployment)
    return next((one for one in _job_grants(deployment) if permission in RIGHTS.get(one.role, ())), None)


def commands(grant: Grant) -> list[str]:
    """The grant as lines of a shell script."""
    *tried, make = map(shlex.join, grant.made_by or ([],))
    made = [*(f"{command} >/dev/null 2>&1 ||" for command in tried), f"  {make}"] if tried else []
    return [*made, shlex.join(grant.command)]


def see_row_policies(deployment: Deployment) -> Grant:
    """A role of its own, for no smaller one has this right: bigquery.dataOwner would be next."""
    project, role = deployment.settings.project, f"{deployment.name.replace('-', '_')}_row_policies"
    where = [role, f"--project={project}"]
    grant = _on_dataset(
        deployment,
        deployment.job_account,
        f"projects/{project}/roles/{role}",
        "sees whether row access policies would hide rows; without it a run needs to be told to go on",
    )
    # A role that was deleted is found for some days more, and nobody can be given it until it is brought back.
    return grant._replace(made_by=(
        ["gcloud", "iam", "roles", "undelete", *where],
        ["gcloud", "iam", "roles", "describe", *where],
        ["gcloud", "iam", "roles", "create", *where, "--title=bqdump: see row access policies",
         "--permissions=bigquery.rowAccessPolicies.list"],
    ))  # fmt: skip


def _member(email: str) -> str:
    return f"serviceAccount:{email}"


def _on_dataset(deployment: Deployment, email: str, role: str, why: str) -> Grant:
    project, dataset = deployment.settings.project, deployment.settings.dataset
    statement = f'GRANT `{role}` ON SCHEMA `{project}`.`{dataset}` TO "{_member(email)}"'
    return Grant(role, f"dataset {project}.{dataset}", why, [
        "bq", f"--project_id={deployment.project}", "query", "--use_legacy_sql=false", statement,
    ])  # fmt: skip


def _on_project(project: str, email: str, role: str, why: str) -> Grant:
    return Grant(role, f"project {project}", why, [
        "gcloud", "projects", "add-iam-policy-binding", project, f"--member={_member(email)}", f"--role={role}",
        "--condition=None", "--format=none",
    ])  # fmt: skip


def _on_bucket(bucket: str, email: str, role: str, why: str) -> Grant:
    return Grant(role, f"bucket {bucket}", why, [
        "gcloud", "storage", "buckets", "add-iam-policy-binding", f"gs://{bucket}", f"--member={_member(email)}",
        f"--role={role}", "--format=none",
    ])  # fmt: skip


def _on_job(deployment: Deployment, email: str, role: str, why: str) -> Grant:
    return Grant(role, f"job {deployment.name}", why, [
        "gcloud", "run", "jobs", "add-iam-policy-binding", deployment.name, f"--project={deployment.project}",
        f"--region={deployment.region}", f"--member={_member(email)}", f"--role={role}", "--format=none",
    ])  # fmt: skip


def _on_workflow(deployment: Deployment) -> Grant:
    return _on_project(deployment.project, deployment.scheduler_account, "roles/workflows.invoker",
                       "starts workflows; there is no smaller place for this role")  # fmt: skip


def script(made: list[Account], project: str) -> str:
    """The commands as a shell script."""
    lines = ["#!/bin/sh", "# Service accounts and grants of bqdump. May be run again at any time.", "set -eu"]
    for account in made:
        name = account.email.partition("@")[0]
        describe = ["gcloud", "iam", "service-accounts", "describe", account.email, f"--project={project}"]
        create = ["gcloud", "iam", "service-accounts", "create", name, f"--project={project}",
                  f"--display-name={account.title}"]  # fmt: skip
        lines += ["", f"# {account.email}", f"{shlex.join(describe)} >/dev/null 2>&1 ||", f"  {shlex.join(create)}"]
        for grant in account.grants:
            *making, command = commands(grant)
            lines += ["", *making, f"# {grant.role} on {grant.on}:", f"# {grant.why}.", command]
    return "\n".join(lines) + "\n"
