"""How a message names settings and commands, so that each front end shows them in its own words.

Messages contain placeholders: `{setting:exclude}`, `{setting:allow=skipped}`, `{required:dataset}`,
`{call:run run_id=nightly}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

SETTING = re.compile(r"\{setting:([a-z_]+)(?:=([^{}]*))?\}")
REQUIRED = re.compile(r"\{required:([a-z_]+)\}")
CALL = re.compile(r"\{call:([a-z]+)((?: [a-z_]+=[^ {}]*)*)\}")


class Words:
    """The words of Python: settings are keyword arguments, which are also the keys of bqdump.toml."""

    def place(self, name: str) -> str:
        """Where a setting was given."""
        return self.setting(name, "")

    def setting(self, name: str, value: str) -> str:
        """A setting to use, with this value ("": any)."""
        return f"{name}={value!r}" if value else name

    def required(self, name: str) -> str:
        """A setting that must be given, with every way to do so."""
        return name

    def call(self, verb: str, arguments: Mapping[str, str]) -> str:
        """A command to run."""
        return f"bqdump.{verb}({', '.join(f'{name}={value!r}' for name, value in arguments.items())})"


class Commands(Words):
    """The words of the command line: settings are flags. Also those of stored text, pages and notices."""

    def setting(self, name: str, value: str) -> str:
        """See Words."""
        flag = "--" + name.replace("_", "-")
        return f"{flag} {value}" if value else flag

    def required(self, name: str) -> str:
        """See Words."""
        return self.setting(name, "")

    def call(self, verb: str, arguments: Mapping[str, str]) -> str:
        """See Words."""
        return " ".join(["bqdump", verb, *(self.setting(name, value) for name, value in arguments.items())])


class Unfilled(Words):
    """Leaves the placeholders as they are, for a stored message that another process shows."""

    def place(self, name: str) -> str:
        """See Words."""
        return self.setting(name, "")

    def setting(self, name: str, value: str) -> str:
        """See Words."""
        return f"{{setting:{name}={value}}}" if value else f"{{setting:{name}}}"

    def required(self, name: str) -> str:
        """See Words."""
        return f"{{required:{name}}}"

    def call(self, verb: str, arguments: Mapping[str, str]) -> str:
        """See Words."""
        return f"{{call:{' '.join([verb, *(f'{name}={value}' for name, value in arguments.items())])}}}"


PYTHON, COMMANDS, UNFILLED = Words(), Commands(), Unfilled()


def fill(message: str, words: Words = PYTHON) -> str:
    """The message with its placeholders in these words."""
    if "{" not in message:
        return message
    message = REQUIRED.sub(lambda found: words.required(found[1]), message)
    message = SETTING.sub(lambda found: words.setting(found[1], found[2] or ""), message)
    return CALL.sub(lambda found: words.call(found[1], _arguments(found[2])), message)


def _arguments(text: str) -> dict[str, str]:
    pairs = (word.partition("=") for word in text.split())
    return {name: value for name, _, value in pairs}
