"""A backup as an object: its target and settings are said once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, Unpack, cast

from bqdump.api import inspection, operations, restoring
from bqdump.api.arguments import Options
from bqdump.api.calls import settings_of, settings_shown

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
# What the line about a backup shows. Others, such as the address of `notify`, may be secret.
SHOWN = ("project", "dataset", "bucket", "to", "prefix", "config")


def _method(function: Callable[Arguments, Result]) -> Callable[Concatenate[Backup, Arguments], Result]:
    """The function as a method, with those settings of the backup that it uses. What a call names takes precedence."""
    used = settings_shown(function)

    @functools.wraps(function)
    def method(self: Backup, /, *arguments: Arguments.args, **options: Arguments.kwargs) -> Result:
        kept = {name: value for name, value in self.options.items() if name in used}
        return function(*arguments, **cast(Any, kept | options))

    signature = inspect.signature(function)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    shown = signature.replace(parameters=[itself, *signature.parameters.values()])
    cast(Any, method).__signature__ = shown
    return method


class Backup:
    """A target, and the settings with which it is used: each function of `bqdump` as a method.

        sales = bqdump.Backup(project="my-project", dataset="sales", bucket="my-exports", format="parquet")
        sales.run()
        sales.manifest()["orders"].uris

    The settings are those of `bqdump.run`. A method takes those that its function uses; what a call names comes first.
    Raises UsageError for an invalid setting.
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        settings_of(options, ())
        self.options = options

    def __repr__(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self.options.items() if name in SHOWN]
        return f"Backup({', '.join(shown)})"

    run = _method(operations.run)
    plan = _method(operations.plan)
    doctor = _method(operations.doctor)
    status = _method(inspection.status)
    runs = _method(inspection.runs)
    ls = _method(inspection.ls)
    manifest = _method(inspection.manifest)
    verify = _method(operations.verify)
    diff = _method(inspection.diff)
    report = _method(inspection.report)
    sql = _method(inspection.sql)
    restore = _method(restoring.restore)
    restores = _method(restoring.restores)
    drill = _method(restoring.drill)
    copy = _method(operations.copy)
    tag = _method(operations.tag)
    prune = _method(operations.prune)
    erase = _method(operations.erase)


Backup.__module__ = "bqdump"
