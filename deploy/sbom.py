"""Lists the packages of an image: as an SBOM in CycloneDX, and their licenses as a table.

python deploy/sbom.py dist runtime        writes dist/bqdump-runtime.cdx.json and dist/bqdump-runtime-licenses.md
python deploy/sbom.py dist "read otel"    of an image with two extras: dist/bqdump-read-otel.cdx.json, …

It installs requirements/<name>.txt by its hashes, as the Dockerfile does, and describes what is installed then. The
packages of the base image are not in it: `docker sbom` or Artifact Analysis list those.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
Component = dict[str, Any]


def license_of(component: Component) -> str:
    """The license of a package, as it declares it: SPDX ids and expressions, or else the names that it gives."""
    spdx, names = set[str](), set[str]()
    for entry in component.get("licenses", ()):
        named = entry.get("license", {})
        if precise := entry.get("expression") or named.get("id"):
            spdx.add(precise)
        elif name := str(named.get("name", "")).strip().partition("\n")[0].rpartition(" :: ")[2]:
            names.add(name)
    return " and ".join(sorted(spdx or names)) or "not declared in a standard form"


def licenses(bom: dict[str, Any]) -> str:
    """The table of all packages of an SBOM with their versions and licenses, sorted by name."""
    components: list[Component] = sorted(bom["components"], key=lambda one: str(one["name"]).lower())
    rows = [f"| {one['name']} | {one['version']} | {license_of(one)} |" for one in components]
    return "\n".join(["| package | version | license |", "|---|---|---|", *rows]) + "\n"


def describe(python: Path, bom: Path) -> None:
    """Write the SBOM of an environment. Validating it would take ten times as long: a test does that."""
    project = ROOT / "pyproject.toml"
    form = ["--output-reproducible", "--no-validate", "--of", "JSON", "-o", bom]
    command = [BIN / "cyclonedx-py", "environment", "--pyproject", project, *form, python]
    # It warns that nothing was validated.
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"cannot list packages: {done.stderr}")


def write(requirements: str, folder: Path) -> tuple[Path, Path]:
    """Write both lists for an image with these requirements, which spaces separate."""
    extras = requirements.split()
    known = sorted(path.stem for path in (ROOT / "requirements").glob("*.txt"))
    if unknown := [extra for extra in extras if extra not in known]:
        raise SystemExit(f"cannot list packages: unknown extra {unknown[0]!r}. Known extras: {', '.join(known)}.")
    folder.mkdir(parents=True, exist_ok=True)
    image = "-".join(["bqdump", *extras])
    bom, table = folder / f"{image}.cdx.json", folder / f"{image}-licenses.md"
    locks = [word for extra in extras for word in ("-r", ROOT / f"requirements/{extra}.txt")]
    with tempfile.TemporaryDirectory() as place:
        python = Path(place) / "bin/python"
        subprocess.run([BIN / "uv", "venv", "-q", "--python", sys.executable, place], check=True)
        install = [BIN / "uv", "pip", "install", "-q", "--python", python, "--require-hashes", "--no-deps", *locks]
        subprocess.run(install, check=True)
        describe(python, bom)
    table.write_text(licenses(json.loads(bom.read_text())))
    return bom, table


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        for path in write(name, folder):
            sys.stdout.write(f"{path}\n")
