"""The number of threads is chosen by what is fastest, and decides no score."""

import time

import pytest
import torch

from music.clips import Clip
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.scoring.threads import fastest_threads


class Judge:
    """A scorer that takes so many seconds with one thread, and with two."""

    takes_clips, batch_size = True, 1

    def __init__(self, *seconds):
        self.seconds, self.asked, self.clips = dict(zip((1, 2), seconds, strict=True)), 0, []

    def score(self, requests):
        self.asked += 1
        self.clips += [request.audio.waveform for request in requests]
        if (seconds := self.seconds[torch.get_num_threads()]) is None:
            raise InputError("no lyrics")
        time.sleep(seconds)
        return [{"m": 1.0}]


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("seconds", "requests", "threads"),
    [((0.001, 0.02), 100, 1), ((0.02, 0.001), 100, 2), ((0.001, 0.02), 5, 2), ((None, None), 100, 2)],
)
def test_the_fastest_number_of_threads_is_used_inside_the_block(two_threads, seconds, requests, threads):
    with fastest_threads(Judge(*seconds), requests):
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == 2


def test_a_model_that_is_not_small_is_tried_once(two_threads, monkeypatch):
    monkeypatch.setattr("reward.scoring.threads._TRIAL", 0.01)
    judge = Judge(0.05, 0.05)
    with fastest_threads(judge, 100):
        assert (torch.get_num_threads(), judge.asked) == (2, 1)


def test_each_trial_has_a_new_clip_as_a_scorer_may_remember_old_ones(two_threads):
    judge = Judge(0.001, 0.001)
    with fastest_threads(judge, 100):
        assert judge.asked == len({tuple(clip[0, :4].tolist()) for clip in judge.clips}) == 7


def test_a_scorer_that_asks_for_several_at_a_time_keeps_all_threads(two_threads):
    judge = Judge(0.001, 0.02)
    judge.batch_size = 16
    with fastest_threads(judge, 100):
        assert (torch.get_num_threads(), judge.asked) == (2, 0)


def test_the_environment_has_the_last_word(two_threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    judge = Judge(0.001, 0.02)
    with fastest_threads(judge, 100):
        assert (torch.get_num_threads(), judge.asked) == (2, 0)


def test_scores_of_the_lab_do_not_depend_on_the_number_of_threads(two_threads):
    scorer = load_scorer("lab-cmi-rm", device="cpu")
    requests = [
        ScoreRequest(
            Clip(torch.randn(1, 24_000 * seconds, generator=_generator(seconds)) * 0.1, 24_000), prompt
        )
        for seconds, prompt in ((3, Prompt("a", "slow jazz")), (5, Prompt("b", "fast rock", "la la la")))
    ]
    found = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for batch in (1, 2):
            scorer.forget()
            parts = [requests[start : start + batch] for start in range(0, 2, batch)]
            found.append([scores for part in parts for scores in scorer.score(part)])
            assert torch.get_num_threads() == threads
    assert all(one == found[0] for one in found)


def _generator(seed):
    return torch.Generator().manual_seed(seed)
