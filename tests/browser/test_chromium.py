"""Whether the tests of pages in this folder can run."""

from __future__ import annotations

import pytest

from browser.conftest import CHROMIUM


def test_a_browser_is_installed() -> None:
    if not CHROMIUM:
        pytest.skip("the tests of pages need a browser: apt-get install chromium-headless-shell, or chromium")
