"""What previews say of whole clips: the same rewards as a search hears, and what it would have chosen by them."""

from dataclasses import replace

import numpy as np
import pytest

from experiments.search.previews import MeasurePreviews, cost_of, kept_by, main
from music.errors import InputError
from music.jsonl import read_jsonl
from scaling.methods.halving import parse_schedule
from scaling.search import Search
from scaling.search import main as search
from scaling.searching.compute import Course, Prices
from scaling.searching.trail import read_looks

SCHEDULE = "0.3=0.5,0.5=0.5"


@pytest.fixture
def options(small_run, tmp_path):
    names = ("generator", "reward", "prompts", "ignore_unsupported", "batch_size", "device")
    shared = {name: getattr(small_run, name) for name in names}
    return MeasurePreviews(
        **shared, n=4, seconds=0.6, shares="0.3,0.5", schedules=SCHEDULE, output=tmp_path / "previews"
    )


def test_they_are_the_rewards_that_a_search_hears_and_a_killed_run_goes_on(options, tmp_path, monkeypatch):
    chosen = Search(
        **{name: getattr(options, name) for name in ("generator", "reward", "prompts", "ignore_unsupported")},
        **{name: getattr(options, name) for name in ("batch_size", "device", "n", "seconds")},
        schedule=SCHEDULE, output=tmp_path / "search",
    )  # fmt: skip
    monkeypatch.setattr("scaling.searching.outcome.write_search_report", lambda *_: None)
    search(chosen)
    main(replace(options, limit=1))
    before = (options.output / "previews.jsonl").read_text()
    main(options)
    assert (options.output / "previews.jsonl").read_text().startswith(before)
    rows = {
        row["prompt_id"]: np.array(row["rewards"]) for _, row in read_jsonl(options.output / "previews.jsonl")
    }
    looks = read_looks(chosen.output / "pool")
    stages = parse_schedule(SCHEDULE)
    for prompt_id, rewards in rows.items():
        last = kept_by(rewards, [0.3, 0.5], stages)[-1]
        assert {one.candidate for one in looks[prompt_id] if one.kept and one.share > 0.4} == {*last}
    written = (options.output / "table.md").read_text()
    assert "| best of n | 1 | 0 | 4 |" in written


def test_prompts_that_ask_for_more_than_the_generator_looks_at_are_refused_before_any_work(options):
    with pytest.raises(InputError, match=r"has lyrics, which .* does not look at"):
        main(replace(options, ignore_unsupported=False))
    assert not (options.output / "previews.jsonl").exists()


def test_what_is_kept_and_what_it_costs():
    rewards = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 1.0, 3.0, 9.0], [0.0, 1.0, 2.0, 3.0]])
    stages = parse_schedule(SCHEDULE)
    assert kept_by(rewards, [0.3, 0.5], stages) == [[0, 1], [0]]  # of equals the lowest
    prices = Prices(0.5, 0.25, 0.25, "made up")
    whole = cost_of(stages, 4, Course(10, whole_previews=True), prices)
    # 4 to 0.3, 2 to 0.5, 1 to the end; 4 and 2 whole previews, 1 finished clip
    assert whole == pytest.approx(0.5 * (4 * 0.3 + 2 * 0.2 + 0.5) + 0.5 * (4 + 2 + 1))
    prefixes = cost_of(stages, 4, Course(10, whole_previews=False), prices)
    assert prefixes == pytest.approx(0.5 * (4 * 0.3 + 2 * 0.2 + 0.5) + 0.5 * (4 * 0.3 + 2 * 0.5 + 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 2}, "--n must be at least 3"),
        ({"schedules": "0.4=0.5"}, "0.4 is none of the --shares 0.3,0.5"),
        ({"schedules": "0.3=0"}, "--schedules '0.3=0': shares of the work lie between 0 and 1"),
        ({"shares": "0.3,1.5"}, "--shares must be shares of the work between 0 and 1"),
        ({"shares": "0.3;0.5"}, "--shares '0.3;0.5': expected numbers with commas between"),
    ],
)
def test_what_cannot_be_is_refused(options, change, message):
    with pytest.raises(InputError, match=message):
        replace(options, **change)
