"""`python -m tests.browser.pictures` retakes the pictures of README: a terminal, the report of its demo, and a console.

In the terminal, the demo's dataset is deleted and restored: each line is what the commands print.

The console is that of the demo's data, exported on several nights. The nights are BigQuery's: its stand-in's clock is
set forward between the exports. Needs Chromium.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from google.api_core.client_options import ClientOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from playwright.sync_api import Browser, Playwright, sync_playwright

from bqdump_local.demo import CHANGED, DATASET, FILE_BYTES, PROJECT, SOURCE, TARGET, delete, seed_demo
from bqdump_local.execute import execute
from bqdump_local.seed import change, seed
from bqdump_local.stack import Stack, running
from browser.conftest import NAMES
from browser.terminal import DARK, LIGHT, Screen, recorded, shortened, svg

DOCS = Path(__file__).resolve().parents[2] / "docs"
NIGHTS, TASKS, DAY = 9, 6, 86_400
WIDTH = 1100
TITLE = (
    "A terminal: three runs; the dataset is gone; bqdump restore --into sales --verify brings it back: all tables equal"
)


def main() -> None:
    """Export, open the pages and take the pictures."""
    for name, colors in (("restored", LIGHT), ("restored-dark", DARK)):
        (DOCS / f"{name}.svg").write_text(svg(lost_and_found(), TITLE, colors))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "bqdump", "demo"], cwd=folder, check=True)
        with sync_playwright() as playwright:
            browser = launched(playwright)
            take(browser, reports(Path(folder, "bqdump-demo"))[0].as_uri(), "report.png", 900)
    with tempfile.TemporaryDirectory() as folder, running(root=Path(folder)) as stack:
        export(stack)
        run = reports(Path(folder))[-1].parent.name
        command = [sys.executable, "-m", "bqdump", "ui", "--bucket", TARGET, "--port", "0"]
        with subprocess.Popen(command, env=stack.variables(), stdout=subprocess.PIPE, text=True) as console:
            assert console.stdout
            address = console.stdout.readline().split()[4]
            with sync_playwright() as playwright:
                browser = launched(playwright)
                take(browser, address, "console.png", 860)
                take(browser, f"{address}runs/{run}", "console-dark.png", 860, dark=True)
            console.terminate()


@cache
def lost_and_found() -> Screen:
    """A terminal: the runs of the demo's dataset; its loss; the restore that brings it back, and compares it."""
    with tempfile.TemporaryDirectory() as folder, running(root=Path(folder)) as stack:
        seed_demo(stack)
        names = ["--project", PROJECT, "--dataset", DATASET, "--bucket", TARGET]
        for words in (["init", *names], *(["run", "--run-id", night] for night in ("monday", "tuesday", "wednesday"))):
            if "wednesday" in words:
                change(stack, project=PROJECT, dataset=DATASET, tables=CHANGED)
            command = [sys.executable, "-m", "bqdump", *words, "--quiet"]
            subprocess.run(command, env={**os.environ, **stack.variables()}, cwd=folder, check=True)
        shown = [*recorded("bqdump runs", stack.variables(), folder), []]
        delete(stack)
        shown += [*recorded("bqdump plan", stack.variables(), folder, code=5), []]
        shown += recorded("bqdump restore --into sales --verify", stack.variables(), folder)
    return shortened(shown, r"^\d\d:\d\d:\d\d \w+: restored")


def reports(buckets: Path) -> list[Path]:
    """The pages of the runs in the export's bucket, the oldest first."""
    pages = (buckets / TARGET / "_bqdump/runs").glob("*/report.html")
    return sorted(pages, key=lambda path: path.stat().st_mtime)


def launched(playwright: Playwright) -> Browser:
    """The browser of this machine."""
    path = next(filter(None, map(shutil.which, NAMES)))
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


def export(stack: Stack) -> None:
    """The demo's data, which grows; one night a table fails, on the last night one job is retried. Then a drill."""
    stack.clock(-NIGHTS * DAY)
    stack.jobs(shard_bytes=FILE_BYTES, pending_seconds=0.1, run_seconds=0.4)
    seed(stack, project=PROJECT, dataset=DATASET, bucket=SOURCE, target=TARGET)
    settings = {"PROJECT_ID": PROJECT, "SOURCE_DATASET": DATASET, "DESTINATION_BUCKET": TARGET}
    credentials, options = AnonymousCredentials(), ClientOptions(api_endpoint=stack.bigquery)
    big = bigquery.Client(project=PROJECT, credentials=credentials, client_options=options)
    chance = random.Random(3)
    for night in range(NIGHTS):
        stack.clock((night + 1 - NIGHTS) * DAY)
        stack.jobs(faults=faults(night))
        big.query_and_wait(
            f"INSERT INTO {DATASET}.readings SELECT * FROM {DATASET}.readings LIMIT {chance.randrange(4000, 9000)}"
        )
        if night == NIGHTS - 1:
            big.query_and_wait(f"ALTER TABLE {DATASET}.dummy_07 ADD COLUMN note STRING")
        command = [sys.executable, "-m", "bqdump", "run", "--allow-partial"]
        done = asyncio.run(execute(command, tasks=TASKS, env=settings | stack.variables(), job="nightly", seed=night))
        assert done.ok
    big.close()
    command = [sys.executable, "-m", "bqdump", "drill", "--quiet"]
    drilled = {**os.environ, **settings, **stack.variables()}
    subprocess.run(command, env=drilled, stdout=subprocess.DEVNULL, check=True)


def faults(night: int) -> list[dict[str, object]]:
    """The faults of a night."""
    if night == NIGHTS // 2:
        return [{"at": "run", "table": "weather", "reason": "accessDenied", "message": "Access Denied: weather"}]
    return [{"at": "run", "table": "planes", "reason": "backendError", "times": 1}] if night == NIGHTS - 1 else []


def take(browser: Browser, address: str, name: str, height: int, *, dark: bool = False) -> None:
    """A picture of the top of a page."""
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    page = browser.new_page(viewport={"width": WIDTH, "height": height}, color_scheme=scheme)
    page.goto(address)
    page.screenshot(path=DOCS / name)
    page.close()


if __name__ == "__main__":
    main()
