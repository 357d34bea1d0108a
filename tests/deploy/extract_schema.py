"""Writes google_provider_schema.json: the attributes and blocks that the resources in deploy/terraform can have.

The schema of HashiCorp's google provider comes from the last of its prebuilt Python bindings, which contains a
description of every resource in a `.jsii` file. To write it again (about 50 MB are downloaded):

    uv pip install --no-deps --target bindings cdktf-cdktf-provider-google==16.12.1
    python tests/deploy/extract_schema.py bindings

The result contains the name of each argument, its type ("string", "number", "bool", "any", "list(…)", "map(…)", or the
number of a block), and whether it is required, without descriptions; and the values that the provider computes.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TARGET = Path(__file__).with_name("google_provider_schema.json")
PACKAGE = "@cdktf/provider-google"


def used_resources(folder: Path) -> list[str]:
    """The google resources and data sources ("data.…") in the Terraform files of a folder."""
    text = "\n".join(path.read_text() for path in sorted(folder.rglob("*.tf")))
    found = re.findall(r'^(resource|data) "(google_\w+)"', text, re.MULTILINE)
    return sorted({("data." if kind == "data" else "") + name for kind, name in found})


def extract(bindings: dict[str, Any], resources: list[str]) -> dict[str, Any]:
    """The schema of these resources, from the description in the bindings."""
    types: dict[str, Any] = bindings["types"]
    schema: dict[str, Any] = {"provider": _provider(types), "resources": {}, "computed": {}, "blocks": {}}
    for resource in resources:
        words = resource.removeprefix("data.").split("_")[1:]
        name = "".join(word[:1].upper() + word[1:] for word in words)
        if resource.startswith("data."):
            name = f"DataGoogle{name}"
        space = name[0].lower() + name[1:]
        config = types[f"{PACKAGE}.{space}.{name}Config"]
        arguments = schema["resources"][resource] = _arguments(config, types, schema["blocks"])
        schema["computed"][resource] = _computed(types[f"{PACKAGE}.{space}.{name}"], arguments)
    return schema


def _computed(kind: dict[str, Any], arguments: dict[str, Any]) -> dict[str, str]:
    """The plain values that a resource has, and that cannot be given."""
    found = {
        _snake(item["name"]): _type(item["type"], {}, {})
        for item in kind["properties"]
        if item.get("immutable") and not item.get("static") and "primitive" in item["type"]
    }
    return {name: text for name, text in sorted(found.items()) if name not in arguments and not name.endswith("_input")}


def _provider(types: dict[str, Any]) -> str:
    docs = json.dumps(types[f"{PACKAGE}.cloudRunV2Job.CloudRunV2JobConfig"])
    found = re.search(r"hashicorp/google/([\d.]+)/", docs)
    return f"hashicorp/google {found.group(1) if found else ''}"


def _arguments(kind: dict[str, Any], types: dict[str, Any], blocks: dict[str, Any]) -> dict[str, Any]:
    arguments = {}
    for item in kind.get("properties", []):
        text = _type(item["type"], types, blocks)
        if text:
            arguments[_snake(item["name"])] = text if item.get("optional") else f"{text}!"
    return dict(sorted(arguments.items()))


def _type(kind: dict[str, Any], types: dict[str, Any], blocks: dict[str, Any]) -> str:
    if "primitive" in kind:
        return {"boolean": "bool"}.get(kind["primitive"], str(kind["primitive"]))
    if "collection" in kind:
        inner = _type(kind["collection"]["elementtype"], types, blocks)
        return f"{'map' if kind['collection']['kind'] == 'map' else 'list'}({inner})" if inner else ""
    if "union" in kind:
        inner_types = [_type(one, types, blocks) for one in kind["union"]["types"]]
        return next((one for one in inner_types if one.startswith(("list(", "map(")) or one == "bool"), inner_types[0])
    fqn = kind["fqn"]
    if fqn == "cdktf.IResolvable":
        return "any"
    if not fqn.startswith(PACKAGE):
        return ""
    name = fqn.rsplit(".", 1)[1]
    if name not in blocks:
        blocks[name] = {}
        blocks[name] = _arguments(types[fqn], types, blocks)
    return f"block {name}"


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def main() -> None:
    """Write the schema, from the folder of bindings in the command line."""
    archive = next(Path(sys.argv[1]).glob("cdktf_cdktf_provider_google/_jsii/*.tgz"))
    with tarfile.open(archive) as tar:
        member = tar.extractfile("package/.jsii")
        assert member is not None
        bindings = json.load(member)
    schema = extract(bindings, used_resources(ROOT / "deploy/terraform"))
    TARGET.write_text(json.dumps(schema, indent=1) + "\n")
    sys.stdout.write(f"{TARGET.name}: {', '.join(schema['resources'])}\n")


if __name__ == "__main__":
    main()
