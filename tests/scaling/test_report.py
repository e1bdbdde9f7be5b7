"""The report: one file with everything in it, no markup from prompts; and it works in a browser."""

import base64
import io
import re

import numpy as np
import pytest
import soundfile

from music.clips import Clip
from reward import RewardWeights
from scaling.charts import curve
from scaling.playable import mp3_uri, spectrogram_uri
from scaling.report import Results, examples, ranks, write_report
from scaling.summary import summarise
from tests.scaling.noise_pool import clip, make_noise_pool
from tests.web_pages import Tags, assert_balanced, assert_loads_nothing, opened

WEIGHTS = {"musicality": 0.5, "alignment": 0.5}


def make_report(folder, prompts=3, n=4, **options):
    made = make_noise_pool(folder, prompts, n, **options)
    generator = np.random.default_rng(1)
    metrics = {
        name: made.rewards + generator.normal(0, 0.1, made.rewards.shape) for name in (*WEIGHTS, "gold")
    }
    summary = {"n_prompts": prompts, "n": n, "reward": "judge", **summarise(made.rewards, metrics, 0)}
    facts = {"Generator": "noise", "Reward": "judge <1>", "Command": "best_of_n.py --n 4"}
    results = Results(
        made.pool, made.candidates, made.rewards, metrics, RewardWeights(WEIGHTS), summary, facts
    )
    write_report(folder / "report.html", results)
    return summary, (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    make_report(folder)
    return folder / "report.html"


@pytest.fixture(scope="module")
def page(small):
    return small.read_text(encoding="utf-8")


def test_it_is_one_file_that_loads_nothing(page):
    assert_loads_nothing(page)
    assert_balanced(page)


def test_prompts_cannot_put_markup_into_the_page(page):
    assert "<script>alert" not in page
    assert "noise &amp; tone &lt;script&gt;alert(0)" in page
    assert "judge &lt;1&gt;" in page


def test_it_shows_numbers_curves_and_clips(tmp_path):
    summary, page = make_report(tmp_path, prompts=8, n=5)
    tags = Tags(page)
    assert len(tags.of("audio")) == 6 * 3 + 1  # the first prompt, among the examples, has a reference
    assert page.count('role="img"') == 5  # reward, three metrics, spread
    for entry in (summary["by_n"]["3"]["gold"], summary["by_n"]["5"]["reward"]):
        assert f"{entry['mean']:.3f}".replace("-", "−") in page
    for word in ("only measured", "part of the reward", "best_of_n.py --n 4", "prefers-color-scheme: dark"):
        assert word in page


@pytest.mark.parametrize(("prompts", "n", "players"), [(1, 1, 2), (1, 2, 3), (2, 1, 3), (70, 2, 12)])
def test_small_and_wide_runs(tmp_path, prompts, n, players):
    """The first prompt has a reference, and is among the examples of the small runs."""
    _, page = make_report(tmp_path, prompts, n)
    tags = Tags(page)
    assert len(tags.of("audio")) == players
    assert not re.search(r">\s*[+−]?nan", page)


def test_what_is_cut_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("scaling.report._MOST_SECONDS", 0.25)
    _, page = make_report(tmp_path, 1, 1)
    assert page.count("0.2 s (beginning)") == 2  # the clip and the reference
    monkeypatch.undo()
    (tmp_path / "whole").mkdir()
    _, page = make_report(tmp_path / "whole", 1, 1)
    assert page.count("0.5 s") == 2
    assert "(beginning)" not in page


def test_the_table_and_the_axis_are_thinned_and_the_curve_is_not(tmp_path):
    summary, page = make_report(tmp_path, 3, 12)
    assert len(summary["by_n"]) == 12
    table = page[page.index("<tbody>") : page.index("</tbody>")]
    assert re.findall(r"<tr><td>(\d+)</td>", table) == ["1", "2", "3", "5", "10", "12"]
    drawing = curve(summary["by_n"], "gold", False, 3, [1, 2, 3, 5, 10, 12])
    labels = re.findall(r">(\d+)</text>", drawing)
    assert {"1", "2", "5", "12"} <= set(labels)
    assert not {"4", "6", "7", "8", "9", "11"} & set(labels)
    line = max(re.findall(r'd="(M [^"]*)"[^>]*stroke-linecap: square', drawing), key=len)
    assert len(re.findall("[ML]", line)) == 12


def test_a_metric_of_any_name_is_only_text():
    by_n = {str(n): {r'a"<b>&\\1': {"mean": n, "ci95": [n - 1, n + 1]}} for n in (1, 2)}
    drawing = curve(by_n, r'a"<b>&\\1', True, 2, [1, 2])
    assert Tags(drawing).of("svg")[0]["aria-label"] == r'a"<b>&\\1 of the chosen candidate against n'
    assert "<b>" not in drawing


def test_rates_that_mp3_does_not_know_and_stereo(tmp_path):
    make_report(tmp_path, 1, 1, rate=20_000, channels=2)
    data = base64.b64decode(mp3_uri(clip(0, 20_000, 2)).split(",")[1])
    audio, rate = soundfile.read(io.BytesIO(data))
    assert rate == 22_050
    assert audio.shape[1] == 2
    assert abs(len(audio) / rate - 0.5) < 0.1


def test_a_spectrogram_shows_a_tone_where_it_is():
    image = pytest.importorskip("PIL.Image")
    import torch

    for height, rows in ((150.0, slice(70, 96)), (3000.0, slice(0, 40))):
        tone = torch.sin(torch.arange(32_000) * height * 2 * torch.pi / 16_000)[None].float()
        picture = spectrogram_uri(Clip(tone, 16_000))
        pixels = np.asarray(image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))))
        assert pixels.shape == (96, 360)
        assert pixels[:, 180].argmax() in range(*rows.indices(96))
        assert pixels[:, 180].min() < 30


def test_examples_are_spread_over_the_gains():
    rewards = np.zeros((30, 4))
    rewards[:, 2] = np.arange(30)
    assert examples(rewards) == [29, 23, 17, 12, 6, 0]
    assert examples(rewards[:2]) == [1, 0]


def test_ranks():
    assert ranks(np.array([3.0, 1.0, 2.0, 5.0])) == {"best": 3, "median": 2, "worst": 1}
    assert ranks(np.array([1.0, 1.0, 1.0])) == {"best": 0, "median": 1, "worst": 2}
    assert ranks(np.array([1.0, 2.0])) == {"best": 1, "worst": 0}
    assert ranks(np.array([1.0])) == {"best": 0}


def test_in_a_browser(small):
    with opened(small, 360) as page:
        expect = pytest.importorskip("playwright.sync_api").expect
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        first, second = page.locator("[data-player]").all()[:2]
        first.scroll_into_view_if_needed()
        first.locator("button").click()
        expect(first.locator("button")).to_have_attribute("aria-label", re.compile("^Pause"))
        second.locator("img").click()
        expect(second.locator("button")).to_have_attribute("aria-label", re.compile("^Pause"))
        expect(first.locator("button")).to_have_attribute("aria-label", re.compile("^Play"))
