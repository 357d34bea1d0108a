"""The templates escape everything, and are loaded only where a page is rendered."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from jinja2 import UndefinedError

from bqdump.pages.templating import TEMPLATES as SHARED
from bqdump.pages.templating import environment
from bqdump.ui.frame import TEMPLATES as CONSOLE
from bqdump.ui.frame import Place, message, templates

FILES = [*SHARED.glob("*.html"), *CONSOLE.glob("*.html")]


@pytest.mark.parametrize("name", [path.name for path in FILES])
def test_no_template_disables_escaping(name: str) -> None:
    (path,) = [path for path in FILES if path.name == name]
    assert not re.search(r"\|\s*safe\b|autoescape", path.read_text("utf-8"))
    assert templates().get_template(name).environment.autoescape is True


def test_hostile_text_is_escaped_and_control_characters_are_shown() -> None:
    body = bytes(message(Place("gs://a"), "<b>\x00", "\"'&<script>\x1b", status=500).body).decode()
    assert "&#34;&#39;&amp;&lt;script&gt;␛" in body
    assert "<h1>&lt;b&gt;␀</h1>" in body


def test_a_misspelled_name_in_a_template_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'misspelled' is undefined"):
        environment().from_string("{{ misspelled }}").render()


def test_a_task_does_not_import_the_template_engine_before_it_renders_a_page() -> None:
    code = "import sys, bqdump.cli.commands.run, bqdump.export.run; print('jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
