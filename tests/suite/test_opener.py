"""Data files are opened by one module: what else reads from a store reads documents, or passes a call on."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "bqdump"
OPENER = "file_content.py"
# They are stores themselves, or pass the call of one on.
STORES = {
    "adapters/gcs/store.py",
    "adapters/retry.py",
    "adapters/s3/store.py",
    "repository/signatures.py",
    "services/keys.py",
}
# They read a part of a document: lines of units, or of a manifest.
PARTS_OF_DOCUMENTS = {"export/work/work.py", "ui/archive.py"}
# Each of these gets an object whose name is that of a document.
DOCUMENTS = {
    "check/doctor/examine.py",
    "check/doctor/needs.py",
    "copying/finish.py",
    "copying/set_documents.py",
    "export/placement/choose.py",
    "export/publish/collect.py",
    "export/publish/lake_table.py",
    "export/publish/report.py",
    "repository/objects.py",
    "repository/publication.py",
    "retain/leftovers.py",
    "retain/rewrite.py",
}


def readers() -> dict[str, set[int]]:
    """The modules that call a method `read` with the name of an object: the numbers of its arguments."""
    found: dict[str, set[int]] = {}
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "read"):
                continue
            text = ast.unparse(node.func.value)
            if node.args and any(word in text for word in ("store", "lake", "trusting", "self")):
                found.setdefault(path.relative_to(SOURCE).as_posix(), set()).add(len(node.args) + len(node.keywords))
    return found


def test_only_one_module_opens_data_files() -> None:
    found = readers()
    assert OPENER in found
    assert set(found) == {OPENER} | STORES | PARTS_OF_DOCUMENTS | DOCUMENTS
    parts = {module for module, arguments in found.items() if max(arguments) > 1}
    assert parts == {OPENER} | STORES | PARTS_OF_DOCUMENTS


def test_no_verb_opens_a_file_of_a_folder_by_its_path() -> None:
    verbs = ("check", "copying", "export", "observe", "restoration", "retain", "ui", "verbs")
    texts = {path: path.read_text() for verb in verbs for path in (SOURCE / verb).rglob("*.py")}
    assert texts
    opening = {path for path, text in texts.items() if '.open("rb")' in text or ".read_bytes()" in text}
    # It decodes what the console has read.
    assert opening == {SOURCE / "ui/decode.py"}
