"""bqdump in Airflow 3: an operator that exports, a sensor that waits for an export, and assets of exported tables.

    from bqdump_airflow import BqdumpPublishedSensor, BqdumpRunOperator, exported_table

See docs/engines.md. Needs Airflow, which the extra `airflow` installs.
"""

from bqdump_airflow.assets import EXPORTED, exported_table
from bqdump_airflow.operators import BqdumpRunOperator
from bqdump_airflow.sensors import BqdumpPublishedSensor

__all__ = ["EXPORTED", "BqdumpPublishedSensor", "BqdumpRunOperator", "exported_table"]
