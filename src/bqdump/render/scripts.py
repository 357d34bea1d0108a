"""Grants and alerts as shell scripts for gcloud. Each can be run repeatedly."""

from __future__ import annotations

import json
import shlex
from typing import Any

from bqdump.render.alerts import metrics, policies
from bqdump.render.deployment import Deployment
from bqdump.render.iam import Account, commands
from bqdump.render.watched import Watched

FUNCTIONS = """\
# Creates or updates a log-based metric: its name; its definition is the input.
metric() {
  action=create
  gcloud logging metrics describe "$1" --project="$project" >/dev/null 2>&1 </dev/null && action=update
  gcloud logging metrics "$action" "$1" --project="$project" --config-from-file=/dev/stdin --quiet
}
# Creates or updates an alert: its display name, and the seconds after which it may fire for the first time; its
# definition is the input. A label keeps the time when it was created.
policy() {
  found=$(gcloud monitoring policies list --project="$project" --filter="displayName=\\"$1\\"" --limit=1 \\
    --format='value(name,userLabels.since)' </dev/null)
  set -- "$2" $found
  since=${3:-$(date +%s)}
  if [ -n "$found" ]; then
    set -- "$1" update "$2"
  else
    set -- "$1" create
  fi
  after=$1
  shift
  sed -e "s/@since@/$since/" -e "s/@due@/$((since + after))/" |
    gcloud monitoring policies "$@" --project="$project" --policy-from-file=/dev/stdin --quiet
}
"""


def alerts_script(deployment: Deployment, watched: Watched) -> str:
    """The script. Raises ValueError for a schedule that is not one."""
    lines = ["#!/bin/sh", "# Alerts of bqdump. Can be run again at any time.", "set -eu"]
    lines += [f"project={shlex.quote(deployment.project)}", "", FUNCTIONS.rstrip()]
    for metric in metrics(deployment):
        lines += ["", f"metric {shlex.quote(metric['name'])} <<'END'", _text(metric), "END"]
    for policy in policies(deployment, watched):
        after = 3600 * int(policy["userLabels"].get("hours", 0))
        lines += ["", f"policy {shlex.quote(policy['displayName'])} {after} <<'END'", _text(policy), "END"]
    return "\n".join(lines) + "\n"


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2)


# A new account is not known everywhere at once: https://cloud.google.com/iam/docs/service-accounts-create
WAITING = """
# Repeats a grant to an account that was just created, for up to a minute.
granted() {
  until "$@"; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || return 1
    sleep 5
  done
}"""


def grants_script(accounts: list[Account], project: str) -> str:
    """The commands as a shell script."""
    lines = ["#!/bin/sh", "# Service accounts and grants of bqdump. Can be run again at any time.", "set -eu", WAITING]
    for account in accounts:
        name = account.email.partition("@")[0]
        manage = ["gcloud", "iam", "service-accounts"]
        describe = [*manage, "describe", account.email, f"--project={project}"]
        create = [*manage, "create", name, f"--project={project}", f"--display-name={account.title}"]
        lines += ["", f"# {account.email}", "tries=1", f"{shlex.join(describe)} >/dev/null 2>&1 || {{"]
        lines += [f"  {shlex.join(create)}", "  tries=12", "}"]
        for grant in account.grants:
            *making, command = commands(grant)
            lines += ["", *making, f"# {grant.role} on {grant.on}:", f"# {grant.why}.", f"granted {command}"]
    return "\n".join(lines) + "\n"
