"""Build the documentation as a site: `python docs/site/build.py FOLDER`, or `make docs`.

The pages stay as they are: they are copied in the layout of the repository, so that their links lead where they lead
there, and docs/README.md gives the navigation. Whatever Sphinx warns about fails: a link to a page or heading that
does not exist, or a page that nothing leads to.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)")
# What pages show by tags of HTML, which Sphinx leaves as they are.
PICTURE = re.compile(r'\bsrc(?:set)?="([^":]+)"')
# A folder whose content becomes part of the site as it is: see conf.py.
EXTRA = "extra"
# Sphinx begins with this page, and a site with this file.
HOME = "index.md"
PROJECT = (
    *("SECURITY.md", "CHANGELOG.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md"),
    *("benchmarks/README.md", "changelog.d/README.md"),
)


def pages() -> list[Path]:
    """The pages of the site, below the repository."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(ROOT / name for name in PROJECT if "/" in name)]
    return sorted(page.relative_to(ROOT) for page in found)


def chapters() -> Iterator[tuple[str, list[str]]]:
    """The parts of the navigation and their pages: the tables of docs/README.md, in their order."""
    index = (ROOT / "docs/README.md").read_text()
    seen: set[str] = {"docs/README.md"}
    for title, table in zip(("Guides", "Reference", "Inside"), re.split(r"\n\n(?=\|)", index)[1:], strict=True):
        linked = [(ROOT / "docs" / target).resolve().relative_to(ROOT) for target in LINK.findall(table)]
        names = dict.fromkeys(str(page) for page in linked if page.suffix == ".md" and page.parts[0] == "docs")
        yield title, [name for name in names if name not in seen]
        seen |= set(names)
    yield "Project", [*PROJECT, "docs/confirmed/README.md"]


def stage(folder: Path) -> None:
    """Copy the pages, and the files that they show or name, into a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    for page in pages():
        text = (ROOT / page).read_text()
        for target in LINK.findall(text):
            file = (ROOT / page.parent / target).resolve()
            if file.is_file() and file.suffix != ".md":
                _copy(file, folder / file.relative_to(ROOT))
        for target in PICTURE.findall(text):
            _copy(ROOT / page.parent / target, folder / EXTRA / page.parent / target)
        place = folder / page
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(LINK.sub(partial(_to_home, page), text))
    home = (folder / "README.md").rename(folder / HOME)
    trees = ["```{toctree}", ":hidden:", "", "日本語 <README.ja>", "All pages <docs/README>", "```", ""]
    for title, names in chapters():
        trees += ["```{toctree}", f":caption: {title}", ":hidden:", "", *(name[:-3] for name in names), "```", ""]
    home.write_text(f"{home.read_text()}\n" + "\n".join(trees))
    shutil.copy(Path(__file__).with_name("conf.py"), folder)


def _to_home(page: Path, link: re.Match[str]) -> str:
    """The link, to HOME where it leads to the README of the repository."""
    leads_home = (ROOT / page.parent / link[1]).resolve() == ROOT / "README.md"
    return link[0].replace("README.md", HOME) if leads_home else link[0]


def _copy(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, place)


def main(folder: Path) -> int:
    """Build the site in `site` below the folder."""
    from sphinx.cmd.build import main as sphinx

    source, site = folder / "pages", folder / "site"
    stage(source)
    shutil.rmtree(site, ignore_errors=True)
    code = sphinx(
        ["-b", "html", "-q", "-n", "-W", "--keep-going", "-d", str(folder / "doctrees"), str(source), str(site)]
    )
    if not code:
        sys.stdout.write(f"{site}/index.html\n")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
