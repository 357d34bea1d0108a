"""Settings as they are written: each as a string, and those of a run as the command that resumes it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import msgspec

from bqdump.core.settings import amounts
from bqdump.core.settings.settings import BY_NAME, SETTINGS, Settings
from bqdump.core.settings.table_settings import TableSettings, tables_text
from bqdump.core.settings.target import Target, record_of, recorded_target
from bqdump.core.wording import COMMANDS, fill, placeholder

# Settings in seconds, which their variables have with the unit.
DURATIONS = (amounts.duration, amounts.period, amounts.age)


def setting_text(name: str, value: Any) -> str:
    """The value of the setting `name`, as written in its environment variable."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple) and value and isinstance(value[0], TableSettings):
        return tables_text(value)
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, dict):
        return ",".join(f"{key}={content}" for key, content in value.items())
    if BY_NAME[name].parse in DURATIONS:
        return f"{value}s"
    if name == "prefix":
        return str(value).removesuffix("/")
    return "tab" if name == "delimiter" and value == "\t" else str(value)


def settings_of_run(recorded: Mapping[str, Any], target: Target) -> Settings:
    """The settings that a run was planned with. target: where it is. Raises ValueError."""
    values = {name: value for name, value in recorded.items() if name in Settings.__struct_fields__}
    try:
        return msgspec.structs.replace(msgspec.convert(values | {"target": Target()}, Settings), target=target)
    except msgspec.ValidationError as error:
        raise ValueError(f"its settings are not those of a run ({error})") from None


def resume_call(run: str, settings: Settings) -> str:
    """The placeholder of the complete command that resumes a run: with every setting that shapes its plan."""
    plain = msgspec.json.decode(
        msgspec.json.encode(Settings(project=settings.project, dataset=settings.dataset, target=settings.target))
    )
    frozen, target = settings.frozen(), record_of(settings.target)
    arguments: dict[str, str | bool] = {"run_id": run}
    for setting in SETTINGS:
        name = setting.name
        if name in target:
            if target[name]:
                arguments[name] = setting_text(name, target[name])
        elif name in frozen and (frozen[name] != plain[name] or name in ("project", "dataset")):
            value = getattr(settings, name)
            arguments[name] = value if BY_NAME[name].switch else setting_text(name, value)
    return placeholder("run", arguments)


def resume_command(run: str, recorded: Mapping[str, Any]) -> str:
    """The complete command that resumes a run, for pages and stored text. recorded: the settings in its plan.

    Without settings where these are not those of a run.
    """
    call = placeholder("run", {"run_id": run})
    with suppress(ValueError):
        call = resume_call(run, settings_of_run(recorded, recorded_target(recorded)))
    return fill(call, COMMANDS)
