"""The settings in `help()`: keyword arguments with type and default, and a line each in the docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar, get_type_hints

import msgspec

from bqdump.api.arguments import Options
from bqdump.core.settings.settings import SETTINGS, Settings
from bqdump.core.wording import fill

Function = TypeVar("Function", bound=Callable[..., Any])
# What the functions that only read a target use. They accept the others, so that one dictionary serves all functions.
OF_TARGET = ("bucket", "to", "prefix", "job_project", "patience", "endpoint")
CONFIG = "TOML file with further settings."


def with_settings(names: Collection[str] = ()) -> Callable[[Function], Function]:
    """Show settings in the signature and the docstring of a function of `**options` (default: all settings)."""

    def shown(function: Function) -> Function:
        settings = [setting for setting in SETTINGS if not names or setting.name in names]
        helps = {"config": CONFIG} | {setting.name: fill(setting.help) for setting in settings}
        lines = "".join(f"\n    {name}: {text}" for name, text in helps.items())
        further = "\n    Other settings are accepted and have no effect." if names else ""
        documented: Any = function
        # Python 3.13 and later have stripped the indentation already.
        documented.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\nSettings:{lines}{further}"
        documented.__signature__ = _signature(function, list(helps))
        documented.__module__ = "bqdump"
        return function

    return shown


def _signature(function: Callable[..., Any], names: list[str]) -> inspect.Signature:
    """The function's own parameters, and a keyword argument for each setting."""
    types = get_type_hints(Options)
    defaults = {field.name: field.default for field in msgspec.structs.fields(Settings) if not field.required}
    own = inspect.signature(function, eval_str=True)
    given = [parameter for parameter in own.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD]
    for name in names:
        # What is required may also be in the file, and empty strings and lists are the same as None.
        default = defaults.get(name)
        shown = default if default or isinstance(default, bool) else None
        given.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=shown, annotation=types[name]))
    return own.replace(parameters=given)
