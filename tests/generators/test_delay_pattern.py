"""The delay pattern, against the picture in the paper."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from generators.musicgen.delay_pattern import DelayPattern


def test_mono_codebooks_lag_one_frame_each():
    pattern = DelayPattern(codebooks=3, channels=1, frames=4)
    assert pattern.steps == 6
    expected = ["100", "110", "111", "111", "011", "001"]
    assert ["".join(str(int(x)) for x in row) for row in pattern.live()] == expected


def test_left_and_right_share_their_delay():
    pattern = DelayPattern(codebooks=4, channels=2, frames=3)
    assert pattern.delays.tolist() == [0, 0, 1, 1]
    expected = ["1100", "1111", "1111", "0011"]
    assert ["".join(str(int(x)) for x in row) for row in pattern.live()] == expected


@given(st.integers(1, 5), st.sampled_from([1, 2]), st.integers(1, 9))
def test_align_undoes_delay(books: int, channels: int, frames: int):
    pattern = DelayPattern(books * channels, channels, frames)
    codes = torch.arange(2 * books * channels * frames).view(2, -1, frames)
    delayed = pattern.delay(codes, special=-1)
    assert torch.equal(pattern.align(delayed), codes)
    assert torch.equal(delayed[0] >= 0, pattern.live())
