"""The page in a real browser: from consent to the code, by mouse and keys, through a reload and a lost server."""

import re
from pathlib import Path

import pytest

from experiments.ab_test.pages import PAGE_FILES, study_page
from experiments.ab_test.study import BLINDED, load_study
from tests.ab_test.browser import WAIT, BrowserRater
from tests.ab_test.running_server import HttpRater, RunningServer
from tests.ab_test.small_study import build_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_study(tmp_path_factory.mktemp("pages"), prompts=3, catches=1, identicals=0, repeats=1)


@pytest.fixture(scope="module")
def server(folder, browser):
    with RunningServer(folder / BLINDED) as server:
        yield server


@pytest.fixture(scope="module")
def study(folder):
    return load_study(folder)[0]


@pytest.fixture
def address(server, study):
    return f"{server.address}/s/{study.id}/"


def arrive(browser, server, study, **options):
    """Return a rater who has joined and checked their sound on another device, and comes with its address."""
    before = HttpRater(server.address, study.id)
    before.client.put("api/me", json={"consent": True})
    before.client.put("api/me/sound_check", json={"heard": [0, 0, 0]})
    return BrowserRater(browser, f"{server.address}/s/{study.id}/#{before.secret}", **options)


@pytest.mark.slow
def test_a_study_from_consent_to_code(browser, server, study, address):
    forged = f"{address}?PROLIFIC_PID=abc123&STUDY_ID=s1&SESSION_ID=x%3Cscript%3E"
    rater = BrowserRater(browser, forged, hurried=False)
    page = rater.page
    page.get_by_role("button", name="Begin").click()  # without consent nothing happens
    assert server.admin(study.id, "raters") == []
    rater.agree()
    rater.expect(page.get_by_text("SESSION_ID")).to_be_visible(timeout=WAIT)  # a forged parameter is told
    page.goto(f"{address}?PROLIFIC_PID=abc123&STUDY_ID=s1&SESSION_ID=x1")
    rater.expect(page.get_by_role("button", name="Begin")).to_be_visible(timeout=WAIT)
    rater.troubles.clear()
    rater.agree()
    right = [trial.right for trial in study.headphones]
    rater.check_sound(right)
    rater.practise()
    total = len(study.schedules[0])

    rater.is_at(1, total)  # by mouse
    assert page.get_by_role("button", name="Play clip A").is_disabled()
    assert page.locator("input[type=radio]").first.is_disabled()
    rater.unlock()
    rater.listen_by_mouse()
    rater.choose("alignment", "a", 5)
    assert page.get_by_role("button", name="Next pair").is_disabled()
    rater.expect(page.locator("[data-missing]")).to_have_text("Answer the second question.")
    rater.choose("musicality", "tie", 1)
    page.get_by_text("Say why").click()
    page.get_by_label("What made the difference").fill("<img src=x onerror=alert(1)> & so on")
    rater.go_on()

    rater.is_at(2, total)  # by keys alone
    rater.expect(page.get_by_role("button", name="I have read it")).to_be_focused(timeout=WAIT)
    page.keyboard.press("Enter")
    rater.listen_by_keys()
    for key in ("c", "4", "z", "2"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")

    rater.is_at(3, total)  # reloaded in the middle
    rater.unlock()
    rater.listen_by_mouse()
    rater.choose("alignment", "b", 3)
    page.reload()
    rater.is_at(3, total)
    rater.has_heard("a")
    assert page.locator('[data-head="alignment"] input[value="b"]').is_checked()
    rater.choose("musicality", "b", 3)
    storage = rater.context.storage_state()
    rater.go_on()
    rater.is_at(4, total)
    troubles = list(rater.troubles)
    rater.context.close()

    rater = BrowserRater(browser, address, storage=storage)  # another day
    for number in range(4, total + 1):
        rater.is_at(number, total)
        rater.unlock()
        rater.listen_by_keys()
        for key in ("x", "1", "x", "1"):
            rater.page.keyboard.press(key)
        rater.go_on()
    code = rater.page.locator("[data-code]")
    rater.expect(code).to_have_text(re.compile("^[0-9A-F]{8}$"), timeout=WAIT)
    (joined,) = server.admin(study.id, "raters")
    assert code.text_content() == joined["id"][:8].upper()
    assert joined["origin"] == {"PROLIFIC_PID": "abc123", "STUDY_ID": "s1", "SESSION_ID": "x1"}
    assert joined["sound_check"] == right
    rater.page.reload()
    rater.expect(rater.page.locator("[data-code]")).to_have_text(joined["id"][:8].upper(), timeout=WAIT)
    assert (troubles + rater.troubles) == []

    rows = server.admin(study.id, "answers")
    assert [row["position"] for row in rows] == list(range(total))
    said = [(row["alignment"]["choice"], row["alignment"]["confidence"], row["musicality"]["choice"],
             row["musicality"]["confidence"]) for row in rows]  # fmt: skip
    last = [("tie", 1, "tie", 1)] * (total - 3)
    assert said == [("a", 5, "tie", 1), ("b", 4, "a", 2), ("b", 3, "b", 3), *last]
    assert rows[0]["comment"] == "<img src=x onerror=alert(1)> & so on"
    for row in rows:
        assert 0.2 <= row["heard_a"] <= 0.5
        whats = [event["what"] for event in row["events"]]
        assert whats.index("unlock") < whats.index("play")
        assert [event["at"] for event in row["events"]] == sorted(event["at"] for event in row["events"])


def test_lyrics_reference_and_markup_are_shown_as_text(browser, server, study):
    rater = arrive(browser, server, study, width=375, height=740)
    rater.practise()
    seen = set()
    for number in range(1, 4):
        rater.is_at(number, len(study.schedules[0]))
        text = rater.page.locator("[data-text]").text_content()
        assert "<script>alert(" in text
        seen.add(text)
        assert rater.page.evaluate("document.documentElement.scrollWidth") <= 375  # a phone scrolls down only
        asked = next(prompt for prompt in study.prompts.values() if prompt.text == text)
        assert rater.page.locator("[data-lyrics]").is_visible() == bool(asked.lyrics)
        if asked.lyrics:
            assert rater.page.locator("[data-lyrics]").text_content() == asked.lyrics
        assert rater.page.locator("[data-reference]").is_visible() == bool(asked.reference)
        if asked.reference:
            rater.page.locator("[data-reference]").click()
            rater.expect(rater.page.locator("[data-reference]")).to_have_class("play on", timeout=WAIT)
        rater.unlock()
        rater.listen_by_mouse()
        rater.answer()
    assert rater.troubles == []
    rater.context.close()


def test_a_shared_position_switches_and_seeks(browser, server, study):
    rater = arrive(browser, server, study)
    page = rater.page
    assert "#" not in page.url
    page.get_by_role("button", name="Try a practice pair").click()
    page.keyboard.press("a")  # locked: nothing plays
    assert page.locator(".clip.on").count() == 0
    rater.unlock()
    sliders = page.get_by_role("slider")
    sliders.nth(0).focus()
    sliders.nth(0).fill("0.3")
    assert [float(sliders.nth(place).input_value()) for place in (0, 1)] == [0.3, 0.3]
    page.keyboard.press("b")
    rater.expect(page.get_by_role("button", name="Pause clip B")).to_be_visible()
    rater.expect(page.get_by_role("button", name="Play clip A")).to_be_visible()
    rater.context.close()


def test_a_clip_plays_on_from_wherever_it_is_sought(browser, server, study):
    """Chromium gives up on a FLAC file that should start in its last blocks."""
    rater = arrive(browser, server, study)
    page = rater.page
    page.get_by_role("button", name="Try a practice pair").click()
    rater.unlock()
    slider = page.get_by_role("slider").nth(0)
    most = float(slider.get_attribute("max"))
    for back in range(0, 50, 3):
        page.keyboard.press("ab"[back % 2])
        slider.evaluate(
            "(one, to) => { one.value = to; one.dispatchEvent(new Event('input')); }", most - back / 100
        )
        page.wait_for_timeout(30)
    for clip in "ba":
        page.keyboard.press(clip)
        rater.has_heard(clip)
    assert page.get_by_text("cannot be loaded").count() == 0
    assert rater.troubles == []
    rater.context.close()


def test_a_server_that_goes_away_loses_nothing(browser, folder, study, tmp_path):
    with RunningServer(folder / BLINDED, database=f"sqlite:///{tmp_path}/answers.sqlite") as server:
        rater = arrive(browser, server, study)
        rater.practise()
        rater.unlock()
        rater.listen_by_mouse()
        rater.choose("alignment", "a", 3)
        rater.choose("musicality", "b", 4)
        server.kill()
        rater.go_on()
        rater.expect(rater.page.get_by_role("status").last).to_contain_text("trying again", timeout=WAIT)
        server.start()
        rater.is_at(2, len(study.schedules[0]))
        (row,) = server.admin(study.id, "answers")
        assert row["musicality"] == {"choice": "b", "confidence": 4}
        rater.context.close()


def test_every_control_has_a_name(browser, server, study, address):
    rater = BrowserRater(browser, address)

    def nameless():
        return rater.page.evaluate(
            """() => [...document.querySelectorAll("button, input, textarea, a, summary, progress")]
            .filter((one) => one.checkVisibility())
            .filter((one) => !one.labels?.length && !one.getAttribute("aria-label") && !one.textContent.trim())
            .map((one) => one.outerHTML)"""
        )

    assert nameless() == []
    assert rater.page.evaluate("document.documentElement.lang") == "en"
    rater.agree()
    rater.page.wait_for_selector("[data-volume]")
    assert nameless() == []
    rater.context.close()
    rater = arrive(browser, server, study)
    rater.page.get_by_role("button", name="Try a practice pair").click()
    rater.unlock()
    rater.page.get_by_text("Say why").click()
    rater.page.get_by_text("Continue later").click()
    assert nameless() == []
    rater.context.close()


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_its_ground():
    """4.5 to 1, as WCAG 2.2 asks (1.4.3), and 3 to 1 for the edges of controls (1.4.11), in light and dark."""
    css = PAGE_FILES["study.css"].read_text(encoding="utf-8")
    themes = [
        dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", css, re.S)
    ]
    assert len(themes) == 2
    for theme in themes:
        texts = ("ink", "muted", "accent", "good")
        pairs = [(text, ground, 4.5) for text in texts for ground in ("ground", "card")]
        pairs += [("on-accent", "accent", 4.5), ("edge", "card", 3.0), ("accent", "soft", 4.5)]
        for one, other, least in pairs:
            high, low = sorted((luminance(theme[one]), luminance(theme[other])), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, (one, other)


def test_pages_load_nothing_from_elsewhere_and_write_no_markup():
    for path in (*PAGE_FILES.values(), Path(PAGE_FILES["study.css"]).with_name("study.html")):
        text = path.read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[^\s\"'`$]+", text)) <= {
            "https://app.prolific.com/submissions/complete?cc="
        }
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|style=", text)
    assert "&lt;b&gt;" in study_page("<b>")
