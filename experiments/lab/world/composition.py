"""Composes a song from its facts: chords, bass, lead, drums and a sung line, as notes in beats."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from experiments.lab.world.facts import INSTRUMENTS, SYLLABLE_RATES, TEMPI, VOICES, Facts

SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
PROGRESSIONS = {
    "major": ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 3, 0, 4)),
    "minor": ((0, 5, 2, 6), (0, 3, 4, 0), (0, 6, 5, 6), (0, 3, 6, 0)),
}
RHYTHMS = ((1, 1), (0.5, 0.5, 1), (1, 0.5, 0.5), (0.5, 0.5, 0.5, 0.5), (1.5, 0.5), (0.75, 0.75, 0.5))
BASS_PROGRAM = 33
KICK, SNARE, HAT = 36, 38, 42
BEATS_PER_CHORD = {"slow": 2, "medium": 2, "fast": 4}


class Note(NamedTuple):
    """One note: onset and length in beats, MIDI pitch and velocity."""

    onset: float
    length: float
    pitch: int
    velocity: int


@dataclass
class Composition:
    """Notes by part (`lead`, `bass`, `drums`, `voice`), the General MIDI program of each, and the tempo in bpm."""

    bpm: float
    parts: dict[str, list[Note]] = field(default_factory=dict)
    programs: dict[str, int] = field(default_factory=dict)


def compose(facts: Facts, seconds: float, rng: np.random.Generator, bpm: float | None = None) -> Composition:
    """Write a song of some length, s, that has the given facts; everything else is drawn from `rng`.

    The tempo is drawn from the range of its class unless `bpm` is given.
    """
    drawn = float(rng.uniform(*TEMPI[facts.tempo]))
    bpm = drawn if bpm is None else bpm
    beats = seconds * bpm / 60
    key = int(rng.integers(12))
    scale = SCALES[facts.mode]
    progressions = PROGRESSIONS[facts.mode]
    chords = progressions[int(rng.integers(len(progressions)))]
    span = BEATS_PER_CHORD[facts.tempo]

    def pitch(degree: int, lowest: int) -> int:
        octave, step = divmod(degree, 7)
        tonic = lowest + (key - lowest) % 12  # the first tonic at or above the lowest pitch
        return tonic + 12 * octave + scale[step]

    def chord_at(beat: float) -> int:
        return chords[int(beat // span) % 4]

    song = Composition(bpm)
    lowest = 41 if facts.register == "low" else 62
    song.programs["lead"] = INSTRUMENTS[facts.instrument]
    song.parts["lead"] = {"melody": _melody, "chords": _block_chords, "arpeggio": _arpeggio}[facts.texture](
        beats, span, chord_at, lambda degree: pitch(degree, lowest), rng
    )
    song.programs["bass"] = BASS_PROGRAM
    song.parts["bass"] = [
        Note(float(beat), 0.9, pitch(chord_at(beat), 28), 88) for beat in range(int(np.ceil(beats)))
    ]
    if facts.drums:
        song.programs["drums"] = 0
        song.parts["drums"] = _drums(beats, rng)
    if facts.voice is not None and facts.syllable_rate is not None:
        song.programs["voice"] = VOICES[facts.voice]
        step = 1 / SYLLABLE_RATES[facts.syllable_rate]
        song.parts["voice"] = _sung_line(beats, step, chord_at, lambda degree: pitch(degree, 57), rng)
    return song


def _velocity(rng: np.random.Generator, base: int) -> int:
    return int(base + rng.integers(-8, 9))


def _melody(beats, span, chord_at, pitch, rng) -> list[Note]:
    """Walk over the scale: chord tones when a chord begins, steps between, one or two rhythms repeated."""
    rhythms = [RHYTHMS[int(rng.integers(len(RHYTHMS)))] for _ in range(2)]
    notes, beat, bar, degree = [], 0.0, 0, 4
    while beat < beats:
        for index, length in enumerate(rhythms[bar % 2]):
            if index == 0 and beat % span == 0:
                degree = chord_at(beat) + int(rng.choice((0, 2, 4)))
            else:
                degree = int(np.clip(degree + rng.integers(-2, 3), 0, 10))
            notes.append(Note(beat, 0.95 * length, pitch(degree), _velocity(rng, 98)))
            beat += length
        bar += 1
    return notes


def _block_chords(beats, span, chord_at, pitch, rng) -> list[Note]:
    """Play triads, struck once a beat or every second beat."""
    step = float(rng.choice((1.0, 2.0)))
    inversion = int(rng.integers(2))
    notes = []
    for beat in np.arange(0, beats, step):
        degrees = [chord_at(beat) + third for third in (0, 2, 4)]
        if inversion:
            degrees[0] += 7
        notes += [Note(float(beat), 0.92 * step, pitch(degree), _velocity(rng, 84)) for degree in degrees]
    return notes


def _arpeggio(beats, span, chord_at, pitch, rng) -> list[Note]:
    """Play the chord one tone at a time, two tones a beat."""
    patterns = ((0, 2, 4, 7), (0, 4, 2, 4), (7, 4, 2, 0), (0, 2, 4, 2))
    pattern = patterns[int(rng.integers(len(patterns)))]
    return [
        Note(float(beat), 0.48, pitch(chord_at(beat) + pattern[index % 4]), _velocity(rng, 94))
        for index, beat in enumerate(np.arange(0, beats, 0.5))
    ]


def _drums(beats, rng) -> list[Note]:
    """Play kick and snare in turn with hats in eighths; some songs add a kick before the third beat."""
    extra = rng.random() < 0.5
    notes = []
    for beat in range(int(np.ceil(beats))):
        notes.append(Note(float(beat), 0.2, KICK if beat % 2 == 0 else SNARE, 104))
        notes.append(Note(float(beat), 0.1, HAT, 72))
        notes.append(Note(beat + 0.5, 0.1, HAT, 60))
        if extra and beat % 4 == 1:
            notes.append(Note(beat + 0.5, 0.2, KICK, 92))
    return notes


def _sung_line(beats, step, chord_at, pitch, rng) -> list[Note]:
    """Sing one note a syllable on chord tones and their neighbours."""
    notes, degree = [], 2
    for beat in np.arange(0, beats, step):
        near = [chord_at(beat) + tone for tone in (0, 2, 4, 7)]
        degree = min(near, key=lambda tone: abs(tone - degree) + rng.random() * 2)
        notes.append(Note(float(beat), 0.85 * step, pitch(degree), _velocity(rng, 112)))
    return notes
