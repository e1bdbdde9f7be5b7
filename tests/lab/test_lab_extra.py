"""Without the extra that renders songs, the lab says how to get it."""

import sys

import pytest

from experiments.lab.world import rendering
from experiments.lab.world.corpus import song
from music.errors import InputError


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "symusic", None)
    rendering._synthesizer.cache_clear()
    with pytest.raises(InputError, match=r'extra "lab".*pip install -e "\.\[lab\]"'):
        song("train", "extra", 0).waveform()
