"""What the triggerer waits for: the end of an execution, the publication of a run.

A trigger first waits for one interval. The task has just looked, and Airflow's scheduler takes a task that goes on
before it has read that its process ended for one that was killed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

import bqdump
from bqdump_airflow import cloud_run


def published_since(settings: Mapping[str, Any], since: datetime) -> str:
    """The published run, if its snapshot time is not earlier than `since`; else ""."""
    lines = bqdump.Backup(**settings).runs()
    return next(
        (line.run for line in lines if line.published and line.snapshot_time and line.snapshot_time >= since), ""
    )


class ExecutionTrigger(BaseTrigger):
    """Fires when an execution of Cloud Run has ended, with what `cloud_run.ended` returns."""

    def __init__(self, endpoint: str, execution: str, poll_seconds: float) -> None:
        super().__init__()
        self.endpoint, self.execution, self.poll_seconds = endpoint, execution, poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See BaseTrigger."""
        names = ("endpoint", "execution", "poll_seconds")
        return f"{__name__}.ExecutionTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See BaseTrigger."""
        end = None
        while not end:
            await asyncio.sleep(self.poll_seconds)
            end = await asyncio.to_thread(cloud_run.ended, self.endpoint, self.execution)
        yield TriggerEvent(end)


class PublishedTrigger(BaseTrigger):
    """Fires when a run since `since` (RFC 3339) is published, or with an error that waiting does not fix."""

    def __init__(self, settings: dict[str, Any], since: str, poll_seconds: float) -> None:
        super().__init__()
        self.settings, self.since, self.poll_seconds = settings, since, poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """See BaseTrigger."""
        names = ("settings", "since", "poll_seconds")
        return f"{__name__}.PublishedTrigger", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """See BaseTrigger."""
        since = datetime.fromisoformat(self.since)
        run = ""
        while not run:
            await asyncio.sleep(self.poll_seconds)
            try:
                run = await asyncio.to_thread(published_since, self.settings, since)
            except bqdump.BqdumpError as error:
                if not error.retryable:
                    yield TriggerEvent({"problem": str(error)})
                    return
                self.log.warning("%s", error)
        yield TriggerEvent({"run": run})
