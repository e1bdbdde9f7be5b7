"""What sounds in each frame of a song, as a transcription would tell it: what towers learn harmony and rhythm from.

For each of 25 frames a second: which of the 12 pitch classes the lead or the voice plays, which the bass plays, and
whether a note of the lead or voice, of the bass, of the drums begins.
"""

import numpy as np

from experiments.lab.world.composition import Note
from experiments.lab.world.corpus import Song, stream
from experiments.lab.world.damage import damage_notes

FRAMES_PER_SECOND = 25
HIGH, BASS = ("lead", "voice"), ("bass",)
NOTES = 12 + 12 + 3


def notes_of(one: Song) -> np.ndarray:
    """Return what sounds in each frame, bool [frames, NOTES], damage to the notes included."""
    played = damage_notes(one.composition(), one.damage, stream(*one.key, "damage"))
    sounding = np.zeros((round(one.seconds * FRAMES_PER_SECOND), NOTES), bool)
    scale = 60 / played.bpm * FRAMES_PER_SECOND  # frames in a beat
    for first, begins, parts in ((0, 24, HIGH), (12, 25, BASS), (None, 26, ("drums",))):
        for note in (note for part in parts for note in played.parts.get(part, [])):
            start, stop = _frames(note, scale)
            sounding[start : start + 1, begins] = True
            if first is not None:
                sounding[start:stop, first + note.pitch % 12] = True
    return sounding


def _frames(note: Note, scale: float) -> tuple[int, int]:
    start = max(0, round(note.onset * scale))
    return start, max(start + 1, round((note.onset + note.length) * scale))
