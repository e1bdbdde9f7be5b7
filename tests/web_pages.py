"""What any report must be: one file that loads nothing, and works in a browser."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

_WITHOUT_END = {"meta", "img", "link", "br", "input", "hr"}


class Tags(HTMLParser):
    """The elements of a page, each with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of the elements of a kind."""
        return [attributes for name, attributes in self.found if name == tag]


def assert_loads_nothing(page: str) -> None:
    """Fail if a page names anything outside of itself."""
    tags = Tags(page)
    assert not tags.of("link")
    assert all("src" not in script for script in tags.of("script"))
    for attributes in [*tags.of("img"), *tags.of("audio")]:
        assert str(attributes["src"]).startswith("data:")
    outside = {url for url in re.findall(r"https?://[^\s\"'<>)]+", page) if "w3.org" not in url}
    assert not outside
    assert "@import" not in page


def assert_balanced(page: str) -> None:
    """Fail unless each element ends, inside the one in which it began."""

    class Nesting(HTMLParser):
        open: list[str]

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag not in _WITHOUT_END:
                self.open.append(tag)

        def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            pass

        def handle_endtag(self, tag: str) -> None:
            assert self.open.pop() == tag, f"</{tag}> in line {self.getpos()[0]}"

    nesting = Nesting()
    nesting.open = []
    nesting.feed(page)
    assert not nesting.open


@contextmanager
def opened(path: Path, width: int, **options: Any) -> Iterator[Any]:
    """Open a page in a browser, and fail if anything in it goes wrong or it is wider than the screen.

    Parameters
    ----------
    path
        The page.
    width
        Width of the screen, pixels.
    options
        Others of playwright's `new_page`.
    """
    api = pytest.importorskip("playwright.sync_api")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 740}, **options)
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text))
        page.on("request", lambda request: request.url.startswith("http") and troubles.append(request.url))
        page.goto(path.absolute().as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width  # it scrolls down only
        yield page
        browser.close()
        assert troubles == []
