"""The rule for fields of requests: each has an effect, or is listed as having none, or is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Values of unsupported fields that mean what the stand-ins do anyway.
NEUTRAL = (None, False, "", 0, "0", "UTF-8")


@dataclass(frozen=True)
class Fields:
    """The fields of one schema of an API, by what becomes of them.

    effect: they do what the service's do.
    recorded: they are accepted without effect, and docs/internals/local-stack.md lists them.
    missing: they are refused.
    output: only the service sets them, and they are ignored in requests.

    The values are the schemas of what a field contains (`*` for a map of those, `[]` for a list), `int64` or `text`,
    whose numbers are answered as strings, `int32`, whose strings are answered as numbers, `bool`, `list` of strings,
    `map` of strings, `any`, or "" for a string. A missing parameter of a query names instead the values that ask for
    nothing, such as `INT64|NONE`.
    """

    effect: dict[str, str]
    recorded: dict[str, str]
    missing: dict[str, str]
    output: dict[str, str]

    @property
    def known(self) -> dict[str, str]:
        """All fields of the API."""
        return self.effect | self.recorded | self.missing | self.output


def schema(effect: str = "", recorded: str = "", missing: str = "", output: str = "") -> Fields:
    """Fields from texts such as `name size:int64 owner:Owner`."""

    def parsed(text: str) -> dict[str, str]:
        return {name: part for name, _, part in (word.partition(":") for word in text.split())}

    return Fields(parsed(effect), parsed(recorded), parsed(missing), parsed(output))


class Checker:
    """Checks bodies of one API. unknown, missing: make the errors for a field that the API or the stand-in has not.

    wrong: makes the error for a value of another type than the field's; None where fields have no types.
    """

    def __init__(
        self,
        schemas: Mapping[str, Fields],
        *,
        unknown: Callable[[str, str], Exception] | None,
        missing: Callable[[str], Exception],
        wrong: Callable[[str, Any], Exception] | None = None,
    ) -> None:
        self._schemas, self._unknown, self._missing, self._wrong = schemas, unknown, missing, wrong

    def checked(self, name: str, value: Any, where: str) -> Any:
        """A body of this schema, with its int64 as strings. where: such as `table`, for messages."""
        if not isinstance(value, dict):
            if self._wrong is not None and value is not None:
                raise self._wrong(where, value)
            return value
        fields, body = self._schemas[name], {}
        for key, inner in value.items():
            if key in fields.missing:
                if not is_neutral(inner):
                    raise self._missing(f"the field {where}.{key}")
                body[key] = inner
                continue
            if key not in fields.known and self._unknown is not None:
                raise self._unknown(key, where)
            # What only the service sets comes back from clients, and is ignored.
            part = "any" if key in fields.output or key not in fields.known else fields.known[key]
            body[key] = self._part(part, inner, f"{where}.{_snake(key)}")
        return body

    def _part(self, part: str, value: Any, where: str) -> Any:
        if value is None or (self._wrong is not None and not _is_of_type(part, value)):
            if value is not None and self._wrong is not None:
                raise self._wrong(where, value)
            return value
        part = part.removesuffix("[]")
        if part in ("", "bool", "list", "map", "any"):
            return value
        if part == "int64":
            return str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if part == "int32":
            return int(value) if isinstance(value, float) or (isinstance(value, str) and value.isdigit()) else value
        if part == "text":
            return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        if part.startswith("*"):
            items = value.items() if isinstance(value, dict) else ()
            return {key: self.checked(part[1:], item, f"{where}.{key}") for key, item in items}
        if isinstance(value, list):
            return [self.checked(part, item, f"{where}[{number}]") for number, item in enumerate(value)]
        return self.checked(part, value, where)


def check_parameters(
    groups: Mapping[str, Fields],
    method: str,
    parameters: Iterable[tuple[str, str]],
    missing: Callable[[str], Exception],
) -> None:
    """Refuse the parameters of a request that the stand-in does not have. groups: by method, and by API for all.

    method: such as `storage.objects.list`.
    """
    for group in (groups.get(method), groups.get(method.partition(".")[0])):
        for name, value in parameters if group and group.missing else ():
            nothing = group.missing.get(name) if group else None
            if nothing is not None and value.lower() not in ("", "false", *nothing.lower().split("|")):
                raise missing(f"the parameter {name}={value} of {method}")


def _is_of_type(part: str, value: Any) -> bool:
    """Whether a value may be that of such a field."""
    match part:
        case "":
            return isinstance(value, str)
        case "bool":
            return isinstance(value, bool) or str(value).lower() in ("true", "false")
        case "int64" | "int32":
            return not isinstance(value, bool) and re.fullmatch(r"-?\d{1,19}(\.0*)?", str(value)) is not None
        case "list":
            return isinstance(value, list) and all(isinstance(item, str) for item in value)
        case "map":
            return isinstance(value, dict) and all(item is None or isinstance(item, str) for item in value.values())
        case "any":
            return True
        case "text":
            return isinstance(value, (str, int, float))
    return isinstance(value, list) if part.endswith("[]") else isinstance(value, dict)


def is_neutral(value: Any) -> bool:
    """Whether a value of an unsupported field asks for nothing."""
    if isinstance(value, dict):
        return all(is_neutral(item) for item in value.values())
    return value == [] or value in NEUTRAL


def _snake(name: str) -> str:
    return re.sub(r"[A-Z]", lambda match: f"_{match[0].lower()}", name)
