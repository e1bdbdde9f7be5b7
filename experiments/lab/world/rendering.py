"""Renders a composition to sound through the General MIDI sound font that ships inside `pretty_midi`."""

from functools import cache
from pathlib import Path

import numpy as np

from experiments.lab.world.composition import Composition
from music.optional_libraries import OptionalLibraries, install_extra

#: what all commands need that make songs anew
RENDERING = OptionalLibraries("rendering songs", ("symusic", "pretty_midi"), install_extra("lab"))

SAMPLE_RATE = 16_000  # Hz; every clip of the lab has it
TICKS_PER_BEAT = 480
PEAK = 0.8
LOUDEST = 4.0  # amplitude that the synthesizer never returns: songs stay below 1.5
#: symusic 0.5.8 never returns from a looped sample played about seven octaves up: higher notes go down an octave
HIGHEST_PITCH = 88
#: level of each part; the voice stands before the band
GAINS = {"lead": 1.0, "bass": 0.8, "drums": 0.85, "voice": 1.0}


@cache
def _synthesizer():
    RENDERING.check()
    import pretty_midi
    from symusic import Synthesizer

    return Synthesizer(str(Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"), SAMPLE_RATE)


def render(composition: Composition, seconds: float) -> np.ndarray:
    """Return a waveform float32 [samples] of exactly `seconds` at 16 kHz, peak 0.8.

    Raises
    ------
    InputError
        If the extra "lab" is not installed.
    """
    synthesizer = _synthesizer()
    from symusic import Note, Score, Tempo, Track

    score = Score(TICKS_PER_BEAT)
    score.tempos.append(Tempo(0, composition.bpm))
    for part, notes in composition.parts.items():
        track = Track(program=composition.programs[part], is_drum=part == "drums")
        for note in notes:
            onset = max(0, round(note.onset * TICKS_PER_BEAT))
            length = max(1, round(note.length * TICKS_PER_BEAT))
            velocity = int(np.clip(note.velocity * GAINS[part], 1, 127))
            pitch = note.pitch - 12 * max(0, -(-(note.pitch - HIGHEST_PITCH) // 12))
            track.notes.append(Note(onset, length, pitch, velocity))
        score.tracks.append(track)
    samples = round(seconds * SAMPLE_RATE)
    left, right = synthesizer.render(score, stereo=True)[:, :samples]
    waveform = (left + right) / 2
    # at some pitches the synthesizer reads one sample past the end of a loop, which may hold anything
    waveform[~(np.abs(waveform) < LOUDEST)] = 0.0
    waveform = np.pad(waveform, (0, samples - len(waveform)))
    return (waveform * (PEAK / max(float(np.abs(waveform).max()), 1e-6))).astype(np.float32)
