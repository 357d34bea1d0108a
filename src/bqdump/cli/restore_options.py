"""The options of a restore, as flags and as environment variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from bqdump.core.sets.restoring import Choice
from bqdump.core.settings.values import patterns

INTO = (
    "Dataset to restore into; created if it does not exist. {dataset} stands for the exported dataset's name, which "
    "a set requires."
)
Decorated = TypeVar("Decorated", bound=Callable[..., Any])
DATASETS = ("datasets", "exclude_datasets")
# By name: the options, as click has them.
OPTIONS: dict[str, dict[str, Any]] = {
    "into": {"metavar": "[PROJECT.]DATASET", "help": INTO},
    "datasets": {
        "metavar": "NAME,PATTERN,…",
        "multiple": True,
        "envvar": "BQDUMP_RESTORE_DATASETS",
        "help": "Of a set, restore only these datasets (* and ? allowed).",
    },
    "exclude_datasets": {
        "metavar": "PATTERN,…",
        "multiple": True,
        "envvar": "BQDUMP_RESTORE_EXCLUDE_DATASETS",
        "help": "Of a set, exclude datasets that match (* and ? allowed).",
    },
    "include": {
        "metavar": "PATTERN,…",
        "multiple": True,
        "envvar": "BQDUMP_RESTORE_INCLUDE",
        "help": "Restore only objects that match (* and ? allowed).",
    },
    "exclude": {
        "metavar": "PATTERN,…",
        "multiple": True,
        "envvar": "BQDUMP_RESTORE_EXCLUDE",
        "help": "Exclude objects that match (* and ? allowed).",
    },
    "replace": {"is_flag": True, "help": "Replace tables that exist in the dataset, each atomically."},
    "missing_only": {
        "is_flag": True,
        "help": "Restore only what the dataset lacks, and tables that another restore left unfinished.",
    },
    "with_policies": {"is_flag": True, "help": "Also restore row access policies."},
    "with_access": {
        "is_flag": True,
        "help": "Also grant the dataset's access entries, in addition to those that the target has.",
    },
    "keep_references": {"is_flag": True, "help": "Let views refer to the source dataset, instead of the new one."},
    "verify": {
        "is_flag": True,
        "envvar": "BQDUMP_RESTORE_VERIFY",
        "help": "Also compare checksums of every column with the files. BigQuery bills one query per table.",
    },
    "finish_run": {
        "is_flag": True,
        "help": "First finish a run that was stopped while it replaced the published files.",
    },
    "via": {
        "metavar": "gs://BUCKET[/PREFIX]",
        "help": "Bucket for the restore's documents, and for uploads of a local folder's files.",
    },
    "yes": {"is_flag": True, "help": "Confirm a restore into the dataset that was exported."},
}


def restore_options(command: Decorated) -> Decorated:
    """Give a command the options of a restore."""
    for name, option in reversed(OPTIONS.items()):
        variable = option.get("envvar", f"BQDUMP_{name.upper()}")
        shown = {"default": False} if option.get("is_flag") else {}
        help_ = f"{option['help']} [{variable}]"
        flag = f"--{name.replace('_', '-')}"
        command = click.option(flag, name, **{**option, **shown, "envvar": variable, "help": help_})(command)
    return command


def take(options: dict[str, Any]) -> dict[str, Any]:
    """Take what core.restore.request.requested expects out of a command's options."""
    taken = {name: options.pop(name) for name in OPTIONS if name not in ("verify", "yes", "finish_run", *DATASETS)}
    lists = {name: ",".join(taken[name]) for name in ("include", "exclude")}
    return taken | lists | {name: taken[name] or "" for name in ("into", "via")}


def take_choice(options: dict[str, Any]) -> Choice:
    """Take out which datasets of a set are restored."""
    return Choice(*(patterns(",".join(options.pop(name))) for name in DATASETS))
