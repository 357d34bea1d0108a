"""The install lines of pages and messages: none needs an index that knows bqdump; a git address with a tag works."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from docs.walk import ROOT, blocks

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md"), *ROOT.glob("src/**/*.py")]
# In a message, the line ends with its string.
LINES = {".md": r"\b(?:pip|uv tool) install ([^`\n]+)", ".py": r"\b(?:pip|uv tool) install ([^`\n\"]+)"}


def wanted(line: str) -> list[str]:
    """What an install line installs."""
    words = shlex.split(line.replace("{extra}", "read"), comments=True)
    return [word for word in words if not word.startswith("-")]


def test_install_lines_name_this_repository_and_extras_that_exist() -> None:
    found = [
        (page.name, requirement)
        for page in PAGES
        for line in re.findall(LINES[page.suffix], page.read_text())
        for requirement in wanted(line)
    ]
    assert len(found) > 12
    for page, one in found:
        place = re.fullmatch(r"(?:bqdump)?(\.?)(?:\[([a-z0-9,]+)\])?( @ git\+\$REPOSITORY@main)?", one)
        assert place, (page, one)
        # A message is read where bqdump is installed: pip adds the extra to that, wherever it came from.
        assert place[1] or place[3] or page == "errors.py", (page, one)
        extras = place[2].split(",") if place[2] else []
        assert set(extras) <= set(PROJECT["optional-dependencies"]), (page, one)


def test_a_git_address_with_a_tag_installs_the_command(tmp_path: Path) -> None:
    repository = tmp_path / "bqdump"
    shutil.copytree(ROOT / "src", repository / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, repository)
    git = ["git", "-C", str(repository), "-c", "user.name=test", "-c", "user.email=test@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "a release"], ["tag", "v0.1.0"]):
        subprocess.run([*git, *words], check=True)
    (line,) = (
        line for block in blocks("docs/install.md") for line in block.splitlines() if line.startswith("pip install")
    )
    (requirement,) = wanted(line.removeprefix("pip install "))
    requirement = requirement.replace("$REPOSITORY", repository.as_uri()).replace("@main", "@v0.1.0")
    # What it depends on is installed here, and so is what builds it: no index is needed.
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(tmp_path / "installed")]
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", sys.executable]
    subprocess.run([*uv, *options, "--cache-dir", str(tmp_path / "cache"), requirement], check=True)
    assert (tmp_path / "installed/bqdump/__main__.py").exists()
    assert list((tmp_path / "installed").glob("bqdump-*.dist-info"))
