"""The site has every page, with links that lead where they lead in the repository. `make docs` builds it."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from docs.walk import ROOT


@pytest.fixture(scope="module")
def site() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_site", ROOT / "docs/site/build.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_navigation_has_every_page_once(site: ModuleType) -> None:
    names = [name for _, names in site.chapters() for name in names]
    home = ["README.ja.md", "README.md", "docs/README.md"]
    assert sorted([*names, *home]) == [str(page) for page in site.pages()]


def test_every_link_of_the_copied_pages_leads_to_a_copied_file(site: ModuleType, tmp_path: Path) -> None:
    site.stage(tmp_path)
    pages = [*tmp_path.rglob("*.md")]
    assert len(pages) == len(site.pages())
    links = [(page, target) for page in pages for target in site.LINK.findall(page.read_text())]
    assert len(links) > 300
    assert [(page.name, target) for page, target in links if not (page.parent / target).exists()] == []


def test_pictures_of_the_copied_pages_are_part_of_the_site(site: ModuleType, tmp_path: Path) -> None:
    site.stage(tmp_path)
    shown = {page.parent / name for page in tmp_path.rglob("*.md") for name in site.PICTURE.findall(page.read_text())}
    assert tmp_path / "docs/restored-dark.svg" in shown
    assert [path for path in shown if not (tmp_path / site.EXTRA / path.relative_to(tmp_path)).is_file()] == []
    assert f'html_extra_path = ["{site.EXTRA}"]' in (tmp_path / "conf.py").read_text()


def test_the_home_page_is_the_readme_and_leads_to_the_japanese_one(site: ModuleType, tmp_path: Path) -> None:
    site.stage(tmp_path)
    assert (tmp_path / "index.md").read_text().startswith((ROOT / "README.md").read_text())
    assert "](index.md)" in (tmp_path / "README.ja.md").read_text()
    assert not (tmp_path / "README.md").exists()
    assert re.search(r"^日本語 <README.ja>$", (tmp_path / "index.md").read_text(), re.MULTILINE)
