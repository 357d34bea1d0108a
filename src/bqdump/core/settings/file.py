"""A bqdump.toml: the text that `bqdump init` writes, and the settings that a file cannot contain.

Settings as they are written: each as a string, and those of a run as the command that resumes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from bqdump.core.documents.path_template import parse_template
from bqdump.core.errors import UsageError
from bqdump.core.formats.formats import FORMATS
from bqdump.core.settings import amounts
from bqdump.core.settings.resolve import READ
from bqdump.core.settings.settings import BY_NAME, REQUIRED, RETENTION, SETTINGS, Setting, Settings
from bqdump.core.settings.table_settings import TableSettings, tables_text
from bqdump.core.settings.target import Target, record_of, recorded_target
from bqdump.core.times import days_text
from bqdump.core.wording import COMMANDS, fill, placeholder

# Settings of a single run, and why a settings file, which every later run reads too, cannot contain them.
OF_ONE_RUN = {
    "run_id": "a run is published once, so every later run would end at once, with nothing exported",
    "snapshot_time": "every later run would export the same old data again",
}

HEAD = """\
# The backup that `bqdump run` makes. Flags and environment variables take precedence over this file.
# All settings: bqdump help settings
"""
# Examples for what is not given. They stand in comments.
EXAMPLES = {"project": "my-project", "dataset": "sales", "bucket": "my-exports", "exclude": ["tmp_*"]}
LONGEST_COMMENT = 110
KEEP_RUNS = "{run}/{table}/{table}_*.{ext}"
# All runs of two days, so that a run by hand does not cost the one before it.
POLICY = {"keep_within": "2d", "keep_daily": 7, "keep_weekly": 4, "keep_monthly": 12}
# The sections of the file: what a comment says about them, and their settings.
SECTIONS = (
    ("", ("project", "dataset", "bucket", "to", "prefix", "include", "exclude")),
    ("With {run} in the path, every run has files of its own.", ("format", "compression", "path")),
    ("Tables that provably did not change are not exported again.", ("incremental", "full_every")),
    ("After publishing, delete the runs that no rule below keeps.", ("prune",)),
)
NOTES = {
    "dataset": 'or several at one snapshot time: "sales,ops_*"',
    "bucket": "best in another project, which the dataset's owners cannot delete",
    "exclude": "tables to leave out",
    "prune": "false for an append-only account, which cannot: prune with a job of its own then",
    "format": "parquet restores every value exactly",
}


def backup(values: Mapping[str, Any]) -> dict[str, Any]:
    """These settings, and for what they leave open those of a backup: Parquet, a folder for each run, retention."""
    format_ = values.get("format", "parquet")
    codecs = FORMATS[format_].codecs
    codec = next(codec for codec in ("zstd", "gzip", "deflate") if codec in codecs)
    chosen = {"format": format_, "compression": codec, "path": KEEP_RUNS, "incremental": True, **values}
    if not parse_template(chosen["path"]).keeps:
        return chosen
    own_policy = values.keys() & {*RETENTION} or not values.get("prune", True)
    return {"prune": True, **({} if own_policy else POLICY), **chosen}


def settings_file(chosen: Mapping[str, Any]) -> str:
    """The file with these settings; each value is as a setting's parser returns it."""
    left = {name: value for name, value in chosen.items() if name not in OF_ONE_RUN}
    parts = [HEAD]
    for comment, names in SECTIONS:
        lines = [line for name in names if (line := _line(name, left))]
        parts.append("\n".join(([f"# {comment}"] if comment and lines else []) + lines))
    retention = {name: left.pop(name) for name in RETENTION if name in left}
    rest = [setting for setting in SETTINGS if setting.name in left]
    parts += [f"# {_comment(setting)}\n{setting.name} = {_toml(left[setting.name])}" for setting in rest]
    if retention:
        parts.append("\n".join(("[retention]", *(f"{name} = {_toml(value)}" for name, value in retention.items()))))
    return "\n\n".join(filter(None, (part.rstrip("\n") for part in parts))) + "\n"


def _comment(setting: Setting) -> str:
    """The description of a setting, without a list of values that would not fit into a line."""
    text = fill(setting.help)
    return text if len(text) <= LONGEST_COMMENT else text.partition(":")[0]


def _line(name: str, left: dict[str, Any]) -> str:
    """The line of a setting, which is taken out of `left`; a commented example where a backup needs one."""
    note = f"  # {NOTES[name]}" if name in NOTES else ""
    if name in left:
        return f"{name} = {_toml(left.pop(name))}{note}"
    if name not in EXAMPLES or (name == "bucket" and "to" in left):
        return ""
    why = f"  # required; or {BY_NAME[name].env}" if name in REQUIRED else note
    return f"# {name} = {_toml(EXAMPLES[name])}{why}"


def refuse_single_run(values: Mapping[str, Any], file: str) -> None:
    """Raise UsageError if the file sets what belongs to a single run."""
    for name, why in OF_ONE_RUN.items():
        if values.get(name):
            setting = BY_NAME[name]
            hint = f"Remove it from the file. For a single run, use {{setting:{name}}} or {setting.env}."
            cause = f"not allowed in a file: {why}"
            raise UsageError(READ, "", cause, hint, setting=name, place=f"{file}: {name}")


def _toml(value: Any) -> str:
    """A value as TOML; its basic strings, true and false are those of JSON, except for DEL. None: an empty string."""
    if value is None:
        return '""'
    if isinstance(value, Target):
        return _toml(str(value).rstrip("/"))
    if isinstance(value, Mapping):
        pairs = [f"{_toml(key)} = {_toml(content)}" for key, content in value.items()]
        return "{ " + ", ".join(pairs) + " }" if pairs else "{}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


# Settings in seconds, which their variables have with the unit.
DURATIONS = (amounts.duration, amounts.period, amounts.objective, amounts.age)


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
        return days_text(value)
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
    """The placeholder of the complete command that resumes a run: with every setting that shapes its plan.

    run: "" for the command that begins a new one.
    """
    plain = msgspec.json.decode(
        msgspec.json.encode(Settings(project=settings.project, dataset=settings.dataset, target=settings.target))
    )
    frozen, target = settings.frozen(), record_of(settings.target)
    arguments: dict[str, str | bool] = {"run_id": run} if run else {}
    for setting in SETTINGS:
        name = setting.name
        if name in target:
            if target[name]:
                arguments[name] = setting_text(name, target[name])
        elif name in frozen and (frozen[name] != plain[name] or (name in ("project", "dataset") and frozen[name])):
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
