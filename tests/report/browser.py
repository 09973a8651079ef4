"""A real browser for a page: Debian's chromium, driven by Playwright, where both are installed."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

PATIENCE_MS = 120_000
"""How long a busy machine may take over a step."""


@contextmanager
def chromium() -> Generator[Any]:
    """The browser; skips where there is none, or where it does not start."""
    found = [path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))]
    if not found:
        pytest.skip("no chromium is installed")
    playwright.expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        try:
            browser = driver.chromium.launch(executable_path=found[0], timeout=PATIENCE_MS)
        except playwright.Error as error:
            pytest.skip(f"chromium does not start: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


class Browsed:
    """A page that is open: `tab` is Playwright's, `heard` what went wrong or out of the page."""

    def __init__(self, tab: Any, file: Path) -> None:
        self.tab = tab
        self.heard: list[str] = []
        tab.set_default_timeout(PATIENCE_MS)
        tab.on("console", lambda message: self.heard.append(message.text))
        tab.on("pageerror", lambda error: self.heard.append(str(error)))
        tab.on("request", lambda request: self.heard.append(request.url))
        tab.goto(file.as_uri())
        assert self.heard.pop(0) == file.as_uri()

    def all(self, selector: str) -> Any:
        return self.tab.locator(selector)

    def see(self, selector: str) -> Any:
        """What is expected of the first element of that kind."""
        return playwright.expect(self.all(selector).first)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tab.keyboard.press(key)

    def press_until_at(self, key: str, name: str) -> None:
        """Presses a key until the element of that name has the focus."""
        for _ in range(50):
            if self.focused == name:
                return
            self.press(key)
        raise AssertionError(f"{key} does not lead to {name}, but to {self.focused}")

    def column(self, section: str, number: int) -> list[str]:
        """The cells of a table's column that are seen, from 1."""
        cells = self.all(f"#{section} tbody tr:visible > :nth-child({number})")
        return [text.strip() for text in cells.all_inner_texts()]

    @property
    def focused(self) -> str:
        """What a screen reader would say of the element with the focus: its label or its text."""
        said = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
        return str(self.tab.evaluate(said))


@contextmanager
def browsed(browser: Any, file: Path, width: int = 1200, **options: Any) -> Iterator[Browsed]:
    """A file in a browser of its own; what it said on the console, and what it asked the network for, is in `heard`."""
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    try:
        opened = Browsed(context.new_page(), file)
        if options.get("java_script_enabled", True):  # what is typed before anything is painted may be lost
            opened.tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        yield opened
    finally:
        context.close()
