"""The sensor: wait until a run is published."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, conf
from airflow.sdk.exceptions import AirflowException

from bqdump_airflow.triggers import PublishedTrigger, published_since


class BqdumpPublishedSensor(BaseSensorOperator):
    """Waits until the published run has a snapshot time of `since` or later; returns the name of that run.

    settings: arguments of `bqdump.runs` that name the place: `bucket` and `prefix`, or `to`.
    since: a datetime, or RFC 3339 such as "{{ dag_run.run_after }}"; without a zone, UTC.
    deferrable: wait in the triggerer (default: Airflow's `operators.default_deferrable`).
    """

    template_fields = ("settings", "since")

    def __init__(
        self,
        *,
        settings: Mapping[str, Any],
        since: str | datetime,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = dict(settings)
        self.since = since
        self.deferrable = _default() if deferrable is None else deferrable

    def poke(self, context: Any) -> PokeReturnValue:
        """See BaseSensorOperator."""
        run = published_since(self.settings, self._time())
        return PokeReturnValue(bool(run), run or None)

    def execute(self, context: Any) -> Any:
        """See BaseSensorOperator."""
        if not self.deferrable:
            return super().execute(context)
        if run := published_since(self.settings, self._time()):
            return run
        trigger = PublishedTrigger(self.settings, self._time().isoformat(), self.poke_interval)
        return self.defer(trigger=trigger, method_name="execute_complete", timeout=timedelta(seconds=self.timeout))

    def execute_complete(self, context: Any, event: Mapping[str, str]) -> str:
        """Go on after the triggerer. Raises AirflowException for an error that waiting does not fix."""
        if problem := event.get("problem"):
            raise AirflowException(problem)
        return event["run"]

    def _time(self) -> datetime:
        time = self.since if isinstance(self.since, datetime) else datetime.fromisoformat(self.since)
        return time if time.tzinfo else time.replace(tzinfo=UTC)


def _default() -> bool:
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))
