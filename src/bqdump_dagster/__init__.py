"""bqdump in Dagster: an asset for each table of an export, and asset checks that verify or drill it.

    from bqdump_dagster import bqdump_assets, bqdump_checks

See docs/engines.md. Needs Dagster, which the extra `dagster` installs.
"""

from bqdump_dagster.assets import bqdump_assets, export
from bqdump_dagster.checks import bqdump_checks

__all__ = ["bqdump_assets", "bqdump_checks", "export"]
