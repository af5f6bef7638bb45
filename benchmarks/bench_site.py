"""How soon a page of the built site can be used, opened from disk, and what it loads.

    .venv/bin/python benchmarks/bench_site.py [EDITION]

Usable: loaded, with every formula set. Each page is opened in a new context of one browser, pages
taking turns; MB are of all files that a page requests, those of every page among them.
"""

import shutil
import statistics
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import sync_playwright

from arlib.publishing.editions import find_book, page_names

SET = "!window.MathJax?.startup?.promise || MathJax.startup.promise.then(() => true)"
TURNS = 5


def opened(browser, address: str) -> tuple[float, float]:
    """Seconds until a page can be used, and the megabytes of what it requested."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, requested = context.new_page(), set()
    page.on("request", lambda request: requested.add(unquote(urlsplit(request.url).path)))
    started = time.perf_counter()
    page.goto(address)
    page.wait_for_function(SET)
    seconds = time.perf_counter() - started
    context.close()
    return seconds, sum(Path(p).stat().st_size for p in requested if Path(p).is_file()) / 1e6


def main() -> None:
    """Print a line for each page: minimum and median of the seconds, and megabytes."""
    root = find_book()
    site = root / "_build" / (sys.argv[1] if len(sys.argv) > 1 else "scenes") / "html"
    if not site.is_dir():
        print(f"{site.relative_to(root)} is not there: arlib run {site.parent.name}")
        return
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if chromium is None:
        print("no chromium on the PATH: nothing measured")
        return
    pages, times, weights = page_names(root), {}, {}
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        for _ in range(TURNS):
            for name in pages:
                seconds, weights[name] = opened(browser, (site / f"{name}.html").as_uri())
                times.setdefault(name, []).append(seconds)
        browser.close()
    print(f"{'page':<28} {'min s':>6} {'median s':>9} {'MB':>6}")
    for name in pages:
        middle = statistics.median(times[name])
        print(f"{name:<28} {min(times[name]):6.2f} {middle:9.2f} {weights[name]:6.2f}")


if __name__ == "__main__":
    main()
