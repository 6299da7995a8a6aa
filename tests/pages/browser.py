"""Pages in a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium")
needs_a_browser = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# A pixel for rounding. What is scrolled away or cut off by an ancestor counts as outside too.
OUTSIDE = """([inner, outer, without]) => {
  const hidden = without ? new Set(document.querySelectorAll(without)) : new Set();
  const found = [];
  for (const element of document.querySelectorAll(inner)) {
    const box = element.getBoundingClientRect();
    if (hidden.has(element) || !box.width || !box.height) continue;
    const frame = element.parentElement.closest(outer).getBoundingClientRect();
    const beyond = box.left < frame.left - 1 || box.right > frame.right + 1
      || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
    let cut = false;
    for (let above = element.parentElement; above && above !== document.body; above = above.parentElement) {
      const style = getComputedStyle(above), edge = above.getBoundingClientRect();
      if (style.overflowX !== "visible") cut ||= box.right > edge.right + 1 || box.left < edge.left - 1;
      if (style.overflowY !== "visible") cut ||= box.bottom > edge.bottom + 1 || box.top < edge.top - 1;
    }
    if (beyond || cut) found.push(`${element.tagName} ${element.className} ${element.textContent.slice(0, 40)}`);
  }
  return found;
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """Debian's browser."""
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def open_page(browser: Any, file: Path, width: int = 1100) -> Iterator[Any]:
    """Open a page; requests and complaints fail the test."""
    complaints = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    known = (file.as_uri(), "data:")
    page.on("request", lambda request: None if request.url.startswith(known) else complaints.append(request.url))
    page.goto(file.as_uri())
    yield page
    page.close()
    assert not complaints


def outside(page: Any, inner: str, outer: str, without: str = "") -> list[str]:
    """What a selector finds that lies beyond its nearest ancestor of another one, or is cut off by any ancestor."""
    return page.evaluate(OUTSIDE, [inner, outer, without])
