"""The songs that the gold judges learn from and are measured on: their own streams, their own mixture of damage.

The reward model learns from one or two kinds of damage of strength 0.1 to 1; gold hears none to three kinds, more
often faint than strong. No song, mixture or random stream is shared with it.
"""

import numpy as np

from experiments.lab.world.coded_audio import through_codec
from experiments.lab.world.corpus import Song, stream
from experiments.lab.world.damage import KINDS
from experiments.lab.world.facts import draw_facts
from generators.musicgen.spectral_codec import SpectralCodecModel

SECONDS = 5.0
SUNG = 0.3  # share of songs
CODED = 0.6  # share of training songs that pass the generator's codec, as generated clips do
KINDS_DRAWN = (0.25, 0.35, 0.25, 0.15)  # probabilities of 0, 1, 2 and 3 kinds of damage


def gold_damage(rng: np.random.Generator) -> dict[str, float]:
    """Draw none to three kinds of damage, in the order in which they act; a strength is 0.43 on average."""
    count = int(rng.choice(len(KINDS_DRAWN), p=KINDS_DRAWN))
    chosen = rng.choice(len(KINDS), count, replace=False)
    return {KINDS[index]: float(rng.beta(1.2, 1.6)) for index in sorted(chosen)}


def gold_song(split: str, index: int, seconds: float = SECONDS, damaged: bool = True) -> Song:
    """Return song `index` of a split, with or without its damage."""
    key = (split, "gold", index)
    facts = draw_facts(stream(*key, "facts"), vocals=bool(stream(*key, "sung").random() < SUNG))
    return Song(key, facts, seconds, gold_damage(stream(*key, "mixture")) if damaged else {})


def is_coded(split: str, index: int) -> bool:
    """Tell whether a song is heard through the codec in training."""
    return bool(stream(split, "gold", index, "coded").random() < CODED)


def heard_wave(one: Song, codec: SpectralCodecModel | None) -> np.ndarray:
    """Return the song's waveform int16 [samples], through the codec if one is given."""
    wave = one.waveform()
    if codec is not None:
        wave = through_codec(codec, wave)
    return pcm16(wave)


def pcm16(wave: np.ndarray) -> np.ndarray:
    """Return a waveform within -1 and 1 as int16."""
    return np.round(32767 * wave).astype(np.int16)
