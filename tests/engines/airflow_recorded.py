"""What Airflow's database has recorded: task instances, their XComs, and asset events, as JSON."""

from __future__ import annotations

import json
import sys

from airflow.models import TaskInstance
from airflow.models.asset import AssetEvent
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

with create_session() as session:
    tasks = [
        {"task": f"{task.dag_id}.{task.task_id}", "state": str(task.state or ""), "tries": task.try_number}
        for task in session.scalars(select(TaskInstance))
    ]
    xcoms = [
        {"task": f"{xcom.dag_id}.{xcom.task_id}", "key": xcom.key, "value": XComModel.deserialize_value(xcom)}
        for xcom in session.scalars(select(XComModel))
    ]
    events = [
        {"asset": event.asset.uri, "task": f"{event.source_dag_id}.{event.source_task_id}", "extra": event.extra}
        for event in session.scalars(select(AssetEvent))
    ]
sys.stdout.write("\n" + json.dumps({"tasks": tasks, "xcoms": xcoms, "events": events}) + "\n")
