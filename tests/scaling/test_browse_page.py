"""The page of candidates in a real browser: by mouse and keys, in two tabs, on a phone."""

import re

import pytest

from tests.ab_test.browser import WAIT, chromium
from tests.scaling.browsing import BrowseServer, add_scores
from tests.scaling.noise_pool import make_noise_pool

_LOOPING = """() => {
  const play = HTMLMediaElement.prototype.play;
  HTMLMediaElement.prototype.play = function () {
    this.loop = true;
    return play.call(this);
  };
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def pool(tmp_path, browser):
    pool = make_noise_pool(tmp_path / "one", 12, 3).pool
    add_scores(pool)
    return pool


@pytest.fixture
def server(pool):
    with BrowseServer(pool.folder, "--port", 0) as server:
        yield server


class Listener:
    """A tab, in which nothing may go wrong."""

    def __init__(self, context, server) -> None:
        import playwright.sync_api as api

        self.expect = api.expect
        self.page = context.new_page()
        self.page.set_default_timeout(WAIT)
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on(
            "request", lambda one: one.url.startswith(server.address) or self.troubles.append(one.url)
        )
        self.page.goto(server.address)

    def row(self, place):
        return self.page.locator(".row").nth(place)

    def plays(self, place):
        self.expect(self.row(place).locator("[data-play]")).to_have_attribute(
            "aria-label", re.compile("^Pause"), timeout=WAIT
        )
        assert self.page.locator(".on").count() == 1

    def is_favourite(self, place, favourite=True):
        star = self.row(place).locator("[data-star]")
        self.expect(star).to_have_attribute("aria-pressed", str(favourite).lower(), timeout=WAIT)

    def slow(self):
        """Let half a second of audio last long enough to look at."""
        self.page.evaluate(_LOOPING)


def test_play_mark_and_find_it_again(browser, server, pool):
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    listener = Listener(context, server)
    listener.slow()
    page = listener.page
    listener.row(1).locator("[data-play]").click()
    listener.plays(1)
    listener.row(1).locator("[data-star]").click()
    listener.is_favourite(1)
    listener.plays(1)
    page.keyboard.press(" ")  # the star has no focus that the space bar could press
    listener.expect(page.locator(".on")).to_have_count(0)
    listener.is_favourite(1)
    page.reload()
    listener.is_favourite(1)
    listener.is_favourite(0, False)
    listener.expect(page.locator("[data-count]")).to_have_text("1")

    listener.slow()
    page.keyboard.press("j")  # by keys alone
    listener.plays(0)
    page.keyboard.press("j")
    page.keyboard.press("j")
    listener.plays(2)
    page.keyboard.press("f")
    listener.is_favourite(2)
    listener.is_favourite(1, False)  # one a prompt
    page.keyboard.press("k")
    listener.plays(1)
    page.get_by_label("Prompt", exact=True).fill("fjk tone")  # typing is typing
    listener.plays(1)
    listener.is_favourite(2)

    second = Listener(context, server)  # another tab sees it, and what it changes is seen here
    second.is_favourite(2)
    second.row(2).locator("[data-star]").click()
    second.is_favourite(2, False)
    page.evaluate("window.dispatchEvent(new Event('focus'))")
    listener.is_favourite(2, False)
    assert listener.troubles + second.troubles == []
    context.close()


def test_seeking(browser, server):
    context = browser.new_context()
    listener = Listener(context, server)
    slider = listener.row(0).locator("[data-seek]")
    slider.focus()
    slider.evaluate("one => { one.value = 0.2; one.dispatchEvent(new Event('input')); }")
    listener.expect(listener.row(0).locator("[data-time]")).to_have_text("0.2 / 0.5 s", timeout=WAIT)
    listener.expect(listener.page.locator(".on")).to_have_count(0)
    assert listener.troubles == []
    context.close()


def test_sorting_and_paging_by_mouse(browser, server):
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    listener = Listener(context, server)
    page = listener.page
    page.get_by_label("Sort by").select_option("alignment")
    page.wait_for_url("**/?sort=alignment")
    best = [listener.row(place).get_attribute("data-prompt") for place in (0, 3)]
    assert best == [key[0] for key in server.shown(sort="alignment")[:4:3]]
    page.get_by_role("link", name="Next").first.click()
    page.wait_for_url("**/?sort=alignment&page=2")
    listener.expect(page.locator(".row")).to_have_count(6)
    page.locator(".head").first.get_by_role("link", name="reward").click()
    page.wait_for_url("**/?sort=reward")
    assert listener.troubles == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_it_scrolls_down_only(browser, server, tmp_path, pool, scheme):
    add_scores(pool, "judge with many words", "1", [f"a_rather_long_metric_{index}" for index in range(9)])
    other = make_noise_pool(tmp_path / "two", 2, 2).pool
    with BrowseServer(f"{pool.folder},{other.folder}", "--port", 0) as two:
        for one in (server, two):
            context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme)
            listener = Listener(context, one)
            assert listener.page.evaluate("document.documentElement.scrollWidth") <= 360
            listener.row(0).locator("[data-play]").click()
            listener.expect(listener.row(0)).to_have_class(re.compile("current"))
            assert listener.troubles == []
            context.close()


def test_a_server_that_is_gone_is_told(browser, server):
    context = browser.new_context()
    listener = Listener(context, server)
    server.kill()
    listener.row(0).locator("[data-star]").click()
    listener.expect(listener.page.get_by_role("status")).to_contain_text("does not answer")
    listener.is_favourite(0, False)
    context.close()
