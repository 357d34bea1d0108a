"""The frame of every page, and the addresses of the pages."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote, urlencode

from markupsafe import Markup
from starlette.responses import HTMLResponse

from bqdump.pages.elements import NOTHING, link, visible

# The way to a page right below the first one.
RUNS = (("Runs", "/"),)


def page(
    place: str, title: str, parts: Sequence[Markup], *, trail: Sequence[tuple[str, str]] = (), status: int = 200,
    refresh: bool = False,
) -> HTMLResponse:  # fmt: skip
    """A page. place: where the runs lie. trail: the pages above it, as title and address. refresh: it goes on."""
    above = [link(address, visible(name)) for name, address in trail]
    crumbs = Markup('<nav class="trail" aria-label="Above">{}</nav>').format(
        Markup('<span aria-hidden="true"> / </span>').join(above)
    ) if above else NOTHING  # fmt: skip
    again = Markup('<noscript><meta http-equiv="refresh" content="5"></noscript>') if refresh else NOTHING
    return HTMLResponse(
        Markup(
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1"><title>{} · bqdump</title>'
            '<link rel="stylesheet" href="/static/style.css"><link rel="icon" href="/static/icon.svg">'
            '<script src="/static/console.js" defer></script>{}</head>\n'
            '<body><a class="skip" href="#main">To the content</a>'
            '<header><div class="bar"><a class="brand" href="/">bqdump</a><code class="soft">{}</code></div></header>\n'
            '<main id="main" tabindex="-1">{}\n<h1>{}</h1>\n{}\n</main></body></html>\n'
        ).format(visible(title), again, visible(place), crumbs, visible(title), Markup("\n").join(filter(None, parts))),
        status,
    )


def empty(*sentences: Markup | str) -> Markup:
    """What is shown where there is nothing to show, and what to do about it."""
    said = NOTHING.join(Markup("<p>{}</p>").format(sentence) for sentence in sentences)
    return Markup('<div class="empty">{}</div>').format(said)


def run_address(run: str, *more: str) -> str:
    """The page of a run, or one below it."""
    return "/".join(("/runs", *(quote(part, safe="") for part in (run, *more))))


def table_address(table: str) -> str:
    """The page of a table through all runs."""
    return f"/tables/{quote(table, safe='')}"


def run_trail(run: str) -> Sequence[tuple[str, str]]:
    """The way to a page below a run's."""
    return (*RUNS, (f"Run {run}", run_address(run)))


def asking(**parameters: str | int) -> str:
    """A query string of what is not empty."""
    return "?" + urlencode({name: value for name, value in parameters.items() if value})


def pager(now: int, pages: int, **parameters: str) -> Markup:
    """Links to the pages before and after."""
    if pages <= 1:
        return NOTHING
    steps = [("Previous", now - 1)] if now > 1 else []
    steps += [("Next", now + 1)] if now < pages else []
    links = NOTHING.join(
        Markup('<a class="button" href="{}">{}</a>').format(asking(**parameters, page=number), name)
        for name, number in steps
    )
    return Markup('<nav class="pager" aria-label="Pages"><span class="soft small">Page {} of {}</span>{}</nav>').format(
        f"{now:,}", f"{pages:,}", links
    )


def page_number(text: str, items: int, each: int) -> tuple[int, int]:
    """Which page is asked for, and how many there are: anything that is none of them is the nearest."""
    pages = max(1, -(-items // each))
    wanted = int(text) if text.isdecimal() and len(text) < 9 else 1
    return min(max(1, wanted), pages), pages
