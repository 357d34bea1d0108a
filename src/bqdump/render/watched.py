"""What the alerts of a deployment are about: its jobs, and what they export to where."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from bqdump.core.errors import UsageError
from bqdump.core.settings.amounts import size
from bqdump.core.settings.resolve import environment as from_environment
from bqdump.core.settings.resolve import file, resolve
from bqdump.core.settings.settings import Settings
from bqdump.core.settings.target import Target
from bqdump.core.sizes import counted
from bqdump.core.times import days_text
from bqdump.core.wording import placeholder
from bqdump.render.commands import COPY, OF_THE_OBJECTIVE, RUN
from bqdump.render.deployment import Deployment, environment, longest_pause

CHANNEL = re.compile(r"projects/[^/\s]+/notificationChannels/[^/\s]+")
# Keys of an item of the workflow's input that are no settings.
JOB_SETTINGS = ("tasks", "timeout", "copy_to")


class Exported(NamedTuple):
    """An export, or a set, by the labels of the log lines about it: the setting, and where it is published."""

    dataset: str
    target: str


class Watched(NamedTuple):
    """What alerts are about.

    channels: of notifications.
    by_workflow: a workflow starts the exports, and repeats them.
    scheduled: something is overdue if it was not done for too long.
    billed: the bytes on one bill above which an alert fires, 0 for none.
    """

    channels: tuple[str, ...]
    exports: tuple[Exported, ...]
    by_workflow: bool = False
    scheduled: bool = True
    billed: int = 0

    def titled(self, exported: Exported) -> str:
        """The export in the title of an alert: its dataset, and its target where there are others of that dataset."""
        alone = [export.dataset for export in self.exports].count(exported.dataset) < 2
        return exported.dataset if alone else f"{exported.dataset} in {exported.target}"


def watched_by(
    deployment: Deployment,
    channels: tuple[str, ...],
    *,
    by_workflow: bool,
    items: str,
    copies: Target | None,
    billed: str,
) -> Watched:
    """What alerts watch, from the options of `bqdump render alerts`. Raises UsageError.

    items: the file with the workflow's input, "" for the export of the settings.
    copies: where a copy writes to.
    billed: a size, "" for no alert.
    """
    if deployment.command == COPY and not copies:
        raise UsageError("render", "--dest", "--command copy needs it", "Name the place of the copies.")
    if deployment.command != RUN and (by_workflow or billed):
        flag = "--workflow" if by_workflow else "--billed"
        raise UsageError("render", flag, "only valid with --command run", "Remove it.")
    if invalid := [channel for channel in channels if not CHANNEL.fullmatch(channel)]:
        hint = "`gcloud beta monitoring channels list --format='value(name)'` prints their names."
        raise UsageError("render", "--notification-channel", f"invalid value {invalid[0]!r}", hint)
    if items and not by_workflow:
        raise UsageError("render", "--exports", "only valid with --workflow", "Remove it.")
    pause, rpo = math.ceil(longest_pause(deployment.schedule) / 60), deployment.settings.rpo
    what = OF_THE_OBJECTIVE.get(deployment.command)
    if what and rpo and rpo < (pause + 1) * 3600:
        cause = f"{days_text(rpo)} cannot be met: the schedule leaves {counted(pause, 'hour')} between two {what}"
        hint = f"Start {what} more often, or set it to {pause + 1}h at least."
        raise UsageError("render", "", cause, hint, setting="rpo")
    exports: tuple[Exported, ...] = (exported(deployment.settings),)
    if items:
        exports = exported_by_workflow(deployment, workflow_items(deployment, items), items)
    if copies:
        exports = (exports[0]._replace(target=str(copies)),)
    try:
        most = size(billed) if billed else 0
    except ValueError as error:
        raise UsageError("render", "--billed", f"invalid value {billed!r}: {error}") from None
    return Watched(channels, exports, by_workflow, billed=most)


def exported(settings: Settings) -> Exported:
    """What these settings export."""
    return Exported(settings.dataset, str(settings.target))


def exported_by_workflow(deployment: Deployment, items: Sequence[Mapping[str, Any]], name: str) -> tuple[Exported, ...]:
    """What the items of the workflow's input export. name: of the file that has them. Raises UsageError."""
    job, exports = environment(deployment.settings), list[Exported]()
    for item in items:
        own = {key: value for key, value in item.items() if key not in JOB_SETTINGS}
        exports.append(exported(resolve(file(own, name), from_environment(job))))
    if not exports:
        raise UsageError("render", name, "it has no exports", _prints_one(deployment))
    return tuple(dict.fromkeys(exports))


def workflow_items(deployment: Deployment, path: str) -> list[dict[str, Any]]:
    """The exports of the workflow's input. Raises UsageError."""
    try:
        items = msgspec.json.decode(Path(path).read_bytes(), type=dict[str, Any])["exports"]
        return msgspec.convert(items, list[dict[str, Any]])
    except (OSError, KeyError, msgspec.MsgspecError) as error:
        cause = f"it is not an input of the workflow: {error}"
        raise UsageError("render", f"--exports {path}", cause, _prints_one(deployment)) from None


def _prints_one(deployment: Deployment) -> str:
    return f"{placeholder('render.workflow', {'region': deployment.region, 'part': 'input'})} prints one."
