"""Where keys are trusted, the console says of each run what `runs` and `status` say, on every page that names it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bqdump.adapters.memory import MemoryStore
from bqdump.core.errors import NotFoundError, VerificationError
from bqdump.core.settings.settings import Settings
from bqdump.services.keys import remembering
from bqdump.ui.archive import Archive, Collection
from bqdump.ui.runs import runs_page
from bqdump.ui.sets import datasets_page, set_live_part, set_run_page
from browser.scenes import Scene, shop
from browser.site import Site
from copying.sets_scene import Sets
from observe.test_trust import (
    ANOTHER,
    KEY,
    lines,
    plant_entry,
    plant_run,
    public,
    sign,
    sign_part,
    status,
    vault_of_sets,
)
from ui.test_app import ask
from ui.test_archive import Counted
from ui.test_sets import asked

pytestmark = pytest.mark.usefixtures("no_waiting")
BANNER = '<div class="verdict bad"><strong>Run <code>{run}</code> is not trusted:</strong> {why}.</div>'
WHY = {"two": "it is signed by another key than those that are trusted (", "three": "it is not signed"}


@pytest.fixture
def trust(tmp_path: Path) -> tuple[str, ...]:
    return (public(tmp_path),)


def three_runs(store: MemoryStore | None = None) -> Scene:
    """Run one is signed, run two by another key, run three, the published one, is not."""
    made = shop()
    if store:
        made.store = made.warehouse.store = store
    for run in ("one", "two", "three"):
        asyncio.run(made.export(run))
    for run, key in (("one", KEY), ("two", ANOTHER)):
        sign(made.store, made.settings.target, made.settings.layout, run, key)
    return made


def trusting(scene: Scene, trust: tuple[str, ...]) -> Settings:
    return replace(scene.settings, trust=trust)


@pytest.fixture
def scene() -> Scene:
    return three_runs()


@pytest.fixture
def site(scene: Scene, trust: tuple[str, ...]) -> Iterator[Site]:
    settings = trusting(scene, trust)
    served = Site(scene.store, settings, remembering(scene.store, settings))
    yield served
    served.close()


@pytest.fixture
def without_keys(scene: Scene) -> Iterator[Site]:
    served = Site(scene.store, scene.settings)
    yield served
    served.close()


def badges(page: str) -> dict[str, str]:
    """The state of each run in a list of runs."""
    row = r'<th scope="row"><a href="[^"]*/runs/([^"/]+)">.*?</th><td><span class="badge[^"]*">([^<]+)</span>'
    return dict(re.findall(row, page))


@pytest.mark.parametrize("summaries", [True, False])
def test_the_list_of_runs_says_what_runs_says(
    site: Site, scene: Scene, trust: tuple[str, ...], summaries: bool
) -> None:
    if not summaries:
        drop(scene.store, "/log/")
    status_code, _, page = ask(site, "/")
    assert status_code == 200
    said = {run: line.state for (run, _), line in lines(scene.store, trusting(scene, trust)).items()}
    assert badges(page) == said == {"one": "complete", "two": "not trusted", "three": "not trusted"}
    assert f"<strong>Run <code>two</code> is not trusted:</strong> {WHY['two']}" in page
    assert page.count(WHY["three"]) == 1
    assert "<dt>complete, of the last 3</dt><dd>1</dd>" in page


def drop(store: MemoryStore, part: str) -> None:
    found = [stored[1] for name in store.names_now() if part in name and (stored := store.peek(name))]
    asyncio.run(store.delete([(info.name, info.generation) for info in found]))


@pytest.mark.parametrize("below", ["changes", "verify", "manifest", "tables/orders", "tables/orders/files/0"])
def test_each_page_of_a_run_that_is_not_trusted_says_why(site: Site, without_keys: Site, below: str) -> None:
    banner = BANNER.format(run="three", why=WHY["three"])
    code, _, page = ask(site, f"/runs/three/{below}")
    assert code == 200
    assert banner in page
    # All else is as it is without a key.
    # The page of changes also names run two, with which it compares.
    rest = re.sub(re.escape(BANNER.format(run="two", why="X")).replace("X", "[^<]*"), "", page.replace(banner, ""))
    # It is not the published run, whose files code may read where they are.
    plain = re.sub(
        '<h2 id="query">.*?(?=<h2 id="columns">)', "", ask(without_keys, f"/runs/three/{below}")[2], flags=re.DOTALL
    )
    assert squeezed(rest) == squeezed(plain)
    assert "not trusted" not in ask(site, f"/runs/one/{below}")[2].lower()


def squeezed(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"\d+ ?(ms|s)\b", "", page))


def test_the_page_of_a_run_that_is_not_trusted_says_so_in_place_of_complete(site: Site, without_keys: Site) -> None:
    for run, why in WHY.items():
        page = ask(site, f"/runs/{run}")[2]
        assert f'<div class="verdict bad"><strong>Not trusted.</strong> Reason: {why}' in page
        assert "Complete." not in page
    for shown in (ask(site, "/runs/one")[2], ask(without_keys, "/runs/three")[2]):
        assert "<strong>Complete.</strong>" in shown
        assert "Not trusted" not in shown


def test_the_pages_about_several_runs_name_those_that_are_not_trusted(site: Site) -> None:
    history = ask(site, "/tables/orders")[2]
    assert history.count('<span class="badge bad">not trusted</span>') == 2
    assert WHY["three"] in history
    grown = ask(site, "/growth?run=three&since=one")
    assert grown[0] == 200
    assert BANNER.format(run="three", why=WHY["three"]) in grown[2]


@pytest.mark.parametrize("document", ["manifest.json", "contents.json"])
def test_a_planted_run_that_is_no_document_is_named_and_hides_no_other(site: Site, scene: Scene, document: str) -> None:
    for planted in ("three", "nine"):
        layout = scene.settings.layout.run(planted)
        scene.store.put_now(layout.manifest.name, b"{" if document == "manifest.json" else b"{}")
        scene.store.put_now(layout.contents.name, b"[")
    page = ask(site, "/")
    assert page[0] == 200
    assert badges(page[2]) == {"one": "complete", "two": "not trusted", "three": "not trusted", "nine": "not trusted"}
    for path in ("/runs/nine", "/runs/three", "/runs/three/tables/orders"):
        code, _, shown = ask(site, path)
        assert code == 200
        assert BANNER.format(run=path.split("/")[2], why="it is not signed") in shown
    assert ask(site, "/tables/orders")[0] == 200
    assert ask(site, "/runs/one")[0] == 200


def test_a_run_that_was_trusted_and_is_replaced_is_not_trusted_any_more(site: Site, scene: Scene) -> None:
    drop(scene.store, "/log/")
    assert badges(ask(site, "/")[2])["one"] == "complete"
    name = scene.settings.layout.run("one").manifest.name
    stored = asyncio.run(scene.store.read(name)).data
    scene.store.put_now(name, stored + b" ")
    code, _, page = ask(site, "/")
    assert code == 200
    assert badges(page)["one"] == "not trusted"
    assert "is not the manifest that was signed" in page
    # Signed at last.
    sign(scene.store, scene.settings.target, scene.settings.layout, "one")
    assert badges(ask(site, "/")[2])["one"] == "complete"


def pages(archive: Archive) -> str:
    return bytes(asyncio.run(runs_page(archive, asked())).body).decode()


def test_the_console_trusts_a_signed_run_however_old_it_is(scene: Scene, trust: tuple[str, ...]) -> None:
    drop(scene.store, "/log/")
    settings = replace(trusting(scene, trust), newest_within=1)
    archive = Archive(scene.store, settings, trusting=remembering(scene.store, settings))
    assert badges(pages(archive))["one"] == "complete"


def test_a_run_that_is_trusted_is_checked_once_and_without_keys_nothing_is(trust: tuple[str, ...]) -> None:
    store = Counted()
    scene = three_runs(store)
    settings = trusting(scene, trust)
    plain = Archive(store, scene.settings)
    archive = Archive(store, settings, trusting=remembering(store, settings))
    assert remembering(store, scene.settings) is None
    for one in (plain, archive):
        pages(one)
    store.asked.clear()
    pages(plain)
    before = dict(store.asked)
    store.asked.clear()
    pages(archive)
    # Two that are not trusted are read again: for what is published, in the log and in the list. The other stays known.
    assert (store.asked["manifest.json"], store.asked["signature.json"]) == (6, 6)
    assert (store.asked["stat"], before["stat"]) == (5, 4)


def collection(sets: Sets, store: MemoryStore, settings: Settings, trust: tuple[str, ...]) -> Collection:
    own = replace(settings, trust=trust)
    return Collection(store, own, remembering(store, own))


def body(answer: Any) -> str:
    return bytes(asyncio.run(answer).body).decode()


def test_a_dataset_of_a_set_that_is_not_signed_is_named_on_its_pages(trust: tuple[str, ...]) -> None:
    sets = Sets()
    store = sets.world.store
    for run in ("n1", "n2"):
        sets.export(run)
        sign_part(store, sets.here, "sales", run)
    sign_part(store, sets.here, "ops", "n1")
    console = collection(sets, store, sets.here, trust)
    first = body(datasets_page(console, asked()))
    said = {
        run: line.state
        for (run, dataset), line in lines(store, replace(sets.here, trust=trust)).items()
        if dataset == "*"
    }
    assert badges(first) == said == {"n1": "complete", "n2": "not trusted"}
    assert '<div class="verdict bad"><strong>Not trusted.</strong>' in first
    assert "Complete." not in first
    assert '<code>ops</code></a></th><td><span class="badge bad">not trusted</span>' in first
    assert '<code>sales</code></a></th><td><span class="badge good">published</span>' in first
    assert '<th scope="row"><code>ops</code></th><td class="wide">it is not signed</td>' in first
    second = body(set_run_page(console, asked(run="n2")))
    now = status(store, replace(sets.here, trust=trust))
    assert now.state == "not trusted"
    assert "<strong>Not trusted.</strong>" in second
    for part in now.datasets:
        badge = re.search(rf"<code>{part.dataset}</code></a></th><td>\s*<span class=\"badge[^>]*>([^<]+)<", second)
        assert badge
        assert badge[1] == part.state
    assert '<h2 id="untrusted">Not trusted' in second
    assert asyncio.run(set_live_part(console, asked(run="n2"))).headers["bqdump-run"] == "ended"
    assert "Not trusted" not in body(set_run_page(console, asked(run="n1")))
    plain = Collection(store, sets.here)
    for page in (datasets_page(plain, asked()), set_run_page(plain, asked(run="n2"))):
        assert "rusted" not in body(page)


def test_where_the_plan_of_a_set_is_gone_its_run_is_still_not_trusted(trust: tuple[str, ...]) -> None:
    sets = Sets()
    sets.export("n1")
    sign_part(sets.world.store, sets.here, "sales", "n1")
    drop(sets.world.store, "projects/n1/plan.json")
    page = body(set_run_page(collection(sets, sets.world.store, sets.here, trust), asked(run="n1")))
    assert "<strong>Not trusted.</strong>" in page
    assert "it is not signed" in page


def test_a_locked_set_whose_own_manifest_is_not_signed_is_named(trust: tuple[str, ...]) -> None:
    sets = vault_of_sets("n1")
    for name in ("ops", "sales"):
        sign_part(sets.target, sets.there, name, "n2")
    console = collection(sets, sets.target, sets.there, trust)
    first = body(datasets_page(console, asked()))
    assert badges(first) == {"n1": "complete", "n2": "not trusted"}
    # Readers who trust the key find the earlier set.
    assert "published by run <code>n1</code>" in first
    assert "<strong>Complete.</strong>" in first
    page = body(set_run_page(console, asked(run="n2")))
    assert "<strong>Not trusted.</strong> Reason: " in page
    assert "not signed" in page


def test_a_vault_without_any_signature_is_shown_with_the_reason(trust: tuple[str, ...]) -> None:
    sets = vault_of_sets()
    console = collection(sets, sets.target, sets.there, trust)
    first = body(datasets_page(console, asked()))
    assert badges(first) == {"n1": "not trusted", "n2": "not trusted"}
    assert "<strong>Run <code>n2</code> is not trusted:</strong> " in first
    assert "published by run <code>n2</code>" in first
    assert first.count('<span class="badge bad">not trusted</span>') == 4
    own = body(runs_page(asyncio.run(console.of("ops")), asked()))
    assert badges(own) == {"n1": "not trusted", "n2": "not trusted"}
    assert "Cannot determine the published run:" in own
    site = Site(sets.target, console.settings, console.trusting)
    try:
        for path in ("/", "/runs/n2", "/datasets/ops/", "/datasets/ops/runs/n2", "/datasets/ops/runs/n2/tables/orders"):
            code, _, page = ask(site, path)
            assert code == 200
            assert re.search(r"not (trusted|signed)", page, re.IGNORECASE)
        # With a run, the published one is not needed.
        code, _, grown = ask(site, "/datasets/ops/growth?run=n2")
        assert code == 200
        assert BANNER.format(run="n2", why="it is not signed") in grown
        code, _, without = ask(site, "/datasets/ops/growth")
        assert code == 500
        assert "<h1>Verification failed</h1>" in without
        assert "cannot trust run n2: it is not signed" in without
    finally:
        site.close()


def test_a_planted_entry_is_not_shown_as_published(trust: tuple[str, ...]) -> None:
    sets = vault_of_sets("n1", "n2")
    plant_entry(sets, "ops")

    def shown(keys: tuple[str, ...]) -> str:
        archive = asyncio.run(collection(sets, sets.target, sets.there, keys).of("ops"))
        return body(runs_page(archive, asked()))

    published = 'Published run <a href="/datasets/ops/runs/{}">'
    assert published.format("n9") in shown(())
    page = shown(trust)
    assert badges(page) == {"n1": "complete", "n2": "complete", "n9": "not trusted"}
    assert published.format("n2") in page


@pytest.mark.parametrize("keys", [True, False])
def test_a_planted_pointer_to_a_set_is_an_error_that_says_why(trust: tuple[str, ...], *, keys: bool) -> None:
    sets = vault_of_sets("n1", "n2")
    root = sets.there.layout.root
    name = next(name for name in sets.target.names_now() if name.startswith(f"{root}pointers/n2."))
    plant_run(sets, name)
    own = replace(sets.there, trust=trust if keys else ())
    with pytest.raises(VerificationError, match="as the manifest of dataset ops"):
        status(sets.target, own, "n9")
    console = collection(sets, sets.target, sets.there, own.trust)
    with pytest.raises(NotFoundError, match="has no documents of this run"):
        body(set_run_page(console, asked(run="n9")))
    assert badges(body(datasets_page(console, asked()))) == {"n1": "complete", "n2": "complete"}
