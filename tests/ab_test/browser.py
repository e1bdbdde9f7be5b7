"""A rater in a headless browser."""

import shutil
import time
from contextlib import contextmanager

import pytest

WAIT = 60_000  # ms, on a busy machine
#: lets the noises of the sound check, longer than any clip here, play eight times as fast
_HURRY = """const play = HTMLMediaElement.prototype.play;
HTMLMediaElement.prototype.play = function () {
  const hurry = () => { if (this.duration > 3) this.playbackRate = 8; };
  hurry();
  this.addEventListener("loadedmetadata", hurry, { once: true }); // of a sound that was asked for just now
  return play.call(this);
};"""


@contextmanager
def chromium():
    """Yield a browser; skip where there is none."""
    api = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not installed")
    with api.sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--mute-audio"]
        browser = playwright.chromium.launch(executable_path=found, args=arguments)
        yield browser
        browser.close()


class BrowserRater:
    """Goes through the pages as a person would."""

    def __init__(
        self, browser, address, width=1280, height=860, storage=None, origin="", hurried=True
    ) -> None:
        import playwright.sync_api as api

        self.expect = api.expect
        self.context = browser.new_context(viewport={"width": width, "height": height}, storage_state=storage)
        if hurried:
            self.context.add_init_script(_HURRY)
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.troubles: list[str] = []
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("console", lambda message: self.troubles.append(message.text))
        self.page.on("dialog", lambda dialog: self.troubles.append(dialog.message))
        origin = origin or address.split("/s/")[0]
        self.page.on(
            "request", lambda request: request.url.startswith(origin) or self.troubles.append(request.url)
        )
        self.page.goto(address)

    def agree(self):
        self.page.get_by_label("I agree to take part").check()
        self.page.get_by_role("button", name="Begin").click()

    def check_sound(self, heard=(0, 1, 2)):
        page = self.page
        page.get_by_role("button", name="Play the noise").click()
        for place in heard:
            page.locator("[data-noises]").click()
            self.wait_until("!document.querySelector('[data-heard]').disabled")
            page.locator("[data-heard] button").nth(place).click()
        page.get_by_role("button", name="Continue").click()

    def wait_until(self, expression):
        """Wait until something is true in the page, and look often: `expect` would look once a second."""
        until = time.monotonic() + WAIT / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < until, f"never in the page: {expression}"
            self.page.wait_for_timeout(30)

    def unlock(self):
        self.page.get_by_role("button", name="I have read it").click(timeout=WAIT)

    def has_heard(self, clip):
        self.wait_until(f"document.querySelector('[data-clip=\"{clip}\"] [data-heard].enough') !== null")

    def listen_by_mouse(self):
        for clip in "ab":
            self.page.get_by_role("button", name=f"Play clip {clip.upper()}").click()
            self.has_heard(clip)

    def listen_by_keys(self):
        for clip in "ab":
            self.page.keyboard.press(clip)
            self.has_heard(clip)

    def choose(self, head, choice, confidence):
        box = self.page.locator(f'[data-head="{head}"]')
        name = {"a": "A is better", "b": "B is better", "tie": "Equal"}[choice]
        box.get_by_role("radio", name=name).check(force=True)
        box.locator(f'input[name="{head}-sure"][value="{confidence}"]').check(force=True)

    def go_on(self):
        self.page.get_by_role("button", name="Next pair").click()

    def answer(self, alignment=("a", 3), musicality=("a", 3)):
        """Answer both questions, each by a choice and how sure it is, and go on."""
        self.choose("alignment", *alignment)
        self.choose("musicality", *musicality)
        self.go_on()

    def practise(self):
        self.page.get_by_role("button", name="Try a practice pair").click()
        self.unlock()
        self.listen_by_mouse()
        self.answer()
        self.page.get_by_role("button", name="Start with the first pair").click()

    def is_at(self, number, total):
        self.expect(self.page.locator("#count")).to_have_text(f"Pair {number} of {total}", timeout=WAIT)
