"""One Chromium per test module; each test has its own console, and a visitor that fails on browser errors."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, expect, sync_playwright

from browser.scenes import Scene
from browser.site import Site

# Width of the window, and the color of the paper.
LOOKS: list[tuple[Literal["dark", "light"], int, str]] = [
    ("dark", 1200, "rgb(15, 19, 24)"),
    ("light", 390, "rgb(255, 255, 255)"),
]
# For machines that do much else: a page that is right takes milliseconds.
PATIENCE_MS = 120_000
expect.set_options(timeout=PATIENCE_MS)
# The first one takes half the CPU time of the others, which run all of a browser in the background.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
# Without a browser, one test is skipped for all of them.
collect_ignore = [
    path.name for path in Path(__file__).parent.glob("test_*.py") if path.name != "test_chromium.py" and not CHROMIUM
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window. Per module: no event loop can run while playwright has its own."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Visitor:
    """Opens pages, and records the browser's errors and its requests to other hosts."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self.troubles: list[str] = []

    def page(self, *, dark: bool = False, width: int = 1200, script: bool = True) -> Page:
        """A page in a new browser context."""
        context = self._browser.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": 900},
            java_script_enabled=script,
        )
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.troubles.append(f"error: {error}"))
        page.on("request", self._asked)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"console: {message.text}")

    def _asked(self, request: Request) -> None:
        where = urlsplit(request.url)
        if where.scheme not in ("file", "data") and where.hostname != "127.0.0.1":
            self.troubles.append(f"asked for {request.url}")

    def close(self) -> None:
        """Close all pages. Fails if anything was recorded."""
        for context in self._browser.contexts:
            context.close()
        assert self.troubles == []


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Visitor]:
    """Fails the test on errors in the console and on requests to other hosts."""
    made = Visitor(browser)
    yield made
    made.close()


@pytest.fixture
def site() -> Iterator[Callable[[Scene], Site]]:
    """Serves the console over a scene until the test ends."""
    open_: list[Site] = []

    def serve(scene: Scene) -> Site:
        open_.append(Site(scene.store, scene.settings))
        return open_[-1]

    yield serve
    for one in open_:
        one.close()


def barriers(page: Page) -> list[Any]:
    """Accessibility violations found by axe: the rule, and the elements that break it."""
    found = Axe().run(page)
    return [(rule["id"], [node["html"][:200] for node in rule["nodes"]]) for rule in found.response["violations"]]


def fits_in_every_look(page: Page) -> None:
    """The page is accessible, dark on a desk and light on a phone, and does not scroll sideways."""
    for scheme, width, paper in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 900})
        assert barriers(page) == [], (page.url, scheme)
        assert not too_wide(page), (page.url, scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper, page.url


def too_wide(page: Page) -> bool:
    """Whether the page scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))
