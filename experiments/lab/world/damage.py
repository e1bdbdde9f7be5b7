"""Graded damage with a known severity: wrong notes, jitter, off-key bass, dropouts, clipping, noise, wobble, cuts.

Each kind has a strength in [0, 1]. Note damage changes the composition before it is rendered, sound damage changes
the waveform afterwards. A song's severity is 1 - prod(1 - strength) over its kinds, so a second fault makes it worse,
and an undamaged song has severity 0.
"""

from collections.abc import Callable, Mapping

import numpy as np

from experiments.lab.world.composition import Composition, Note
from experiments.lab.world.rendering import PEAK, SAMPLE_RATE


def _wrong_notes(song: Composition, strength: float, rng: np.random.Generator) -> None:
    for part in ("lead", "voice"):
        notes = song.parts.get(part, [])
        for index, note in enumerate(notes):
            if rng.random() < 0.1 + 0.6 * strength:
                notes[index] = note._replace(pitch=note.pitch + int(rng.choice((-6, -1, 1, 6))))


def _jitter(song: Composition, strength: float, rng: np.random.Generator) -> None:
    spread = (0.05 + 0.25 * strength) * song.bpm / 110  # beats: the same milliseconds at every tempo
    for part, notes in song.parts.items():
        song.parts[part] = sorted(
            Note(max(0.0, note.onset + float(rng.normal(0, spread))), *note[1:]) for note in notes
        )


def _off_key_bass(song: Composition, strength: float, rng: np.random.Generator) -> None:
    notes = song.parts["bass"]
    for index, note in enumerate(notes):
        if rng.random() < 0.3 + 0.7 * strength:
            notes[index] = note._replace(pitch=note.pitch + int(rng.choice((1, 6))), velocity=110)


def _dropouts(wave: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    wave = wave.copy()
    to_lose = (0.05 + 0.4 * strength) * len(wave)
    while to_lose > 0:
        length = int(rng.uniform(0.04, 0.2) * SAMPLE_RATE)
        start = int(rng.integers(max(1, len(wave) - length)))
        wave[start : start + length] = 0
        to_lose -= length
    return wave


def _clipping(wave: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    return np.clip(wave * (2.5 + 25 * strength), -1, 1)


def _noise(wave: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    signal_to_noise = 24 - 24 * strength  # dB
    level = np.sqrt(np.mean(wave**2)) * 10 ** (-signal_to_noise / 20)
    return wave + level * rng.standard_normal(len(wave))


def _wobble(wave: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Bend the pitch up and down like a bad tape: the depth is 0.3 to 2 semitones, the rate 2 to 6 Hz."""
    rate = rng.uniform(2, 6)
    depth = 2 ** ((0.3 + 1.7 * strength) / 12) - 1
    time = np.arange(len(wave)) / SAMPLE_RATE
    phase = rng.uniform(0, 2 * np.pi)
    shift = depth / (2 * np.pi * rate) * np.sin(2 * np.pi * rate * time + phase)
    return np.interp(time + shift, time, wave)


def _cuts(wave: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Splice pieces from elsewhere without a fade, 0.4 to 3 times a second."""
    seconds = len(wave) / SAMPLE_RATE
    pieces = max(1, round((0.4 + 2.6 * strength) * seconds))
    borders = np.sort(rng.choice(np.arange(1, len(wave)), pieces, replace=False))
    spliced = wave.copy()
    for start, stop in zip(borders, [*borders[1:], len(wave)], strict=True):
        source = int(rng.integers(max(1, len(wave) - (stop - start))))
        spliced[start:stop] = wave[source : source + (stop - start)]
    return spliced


NOTE_DAMAGE: Mapping[str, Callable] = {
    "wrong_notes": _wrong_notes,
    "jitter": _jitter,
    "off_key_bass": _off_key_bass,
}
SOUND_DAMAGE: Mapping[str, Callable] = {
    "wobble": _wobble,
    "cuts": _cuts,
    "dropouts": _dropouts,
    "clipping": _clipping,
    "noise": _noise,
}
KINDS = (*NOTE_DAMAGE, *SOUND_DAMAGE)


def draw_damage(rng: np.random.Generator) -> dict[str, float]:
    """Draw one or two kinds with strengths in [0.1, 1], in the order in which they act."""
    chosen = rng.choice(len(KINDS), int(rng.integers(1, 3)), replace=False)
    return {KINDS[index]: float(rng.uniform(0.1, 1)) for index in sorted(chosen)}


def severity(damage: Mapping[str, float]) -> float:
    """Return 1 - prod(1 - strength), in [0, 1]."""
    return float(1 - np.prod([1 - strength for strength in damage.values()]))


def damage_notes(song: Composition, damage: Mapping[str, float], rng: np.random.Generator) -> Composition:
    """Return a copy of the song with the note damage applied."""
    damaged = Composition(song.bpm, {part: list(notes) for part, notes in song.parts.items()}, song.programs)
    for kind, strength in damage.items():
        if kind in NOTE_DAMAGE:
            NOTE_DAMAGE[kind](damaged, strength, rng)
    return damaged


def damage_sound(wave: np.ndarray, damage: Mapping[str, float], rng: np.random.Generator) -> np.ndarray:
    """Return float32 [samples] with the sound damage applied, peak 0.8 again."""
    kinds = [kind for kind in damage if kind in SOUND_DAMAGE]
    if not kinds:
        return wave
    for kind in kinds:
        wave = SOUND_DAMAGE[kind](wave, damage[kind], rng)
    return (wave * (PEAK / max(float(np.abs(wave).max()), 1e-6))).astype(np.float32)
