"""What is true of a lab song: the facts that captions name, listeners hear and alignment is measured against."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

#: instrument -> General MIDI program of the lead
INSTRUMENTS = {
    "piano": 0,
    "guitar": 24,
    "strings": 48,
    "flute": 73,
    "synth": 81,
    "marimba": 12,
    "trumpet": 56,
    "organ": 16,
}
#: tempo class -> range of beats per minute
TEMPI = {"slow": (66, 80), "medium": (98, 114), "fast": (144, 164)}
MODES = ("major", "minor")
REGISTERS = ("low", "high")
TEXTURES = ("melody", "chords", "arpeggio")
#: vocal timbre -> General MIDI program; the name is the vowel that its lyrics are made of
VOICES = {"ah": 52, "oh": 53, "ee": 85}
#: syllable rate -> syllables per beat
SYLLABLE_RATES = {"slow": 0.5, "fast": 2.0}

#: the facts that a caption can name, with their values
CAPTION_FACTS = {
    "instrument": tuple(INSTRUMENTS),
    "tempo": tuple(TEMPI),
    "mode": MODES,
    "drums": (True, False),
    "register": REGISTERS,
    "texture": TEXTURES,
    "vocals": (True, False),
}
#: the facts that only lyrics tell
LYRICS_FACTS = {"voice": tuple(VOICES), "syllable_rate": tuple(SYLLABLE_RATES)}
#: what can be heard of a clip, with its values; None where nobody sings
HEARD = {**CAPTION_FACTS, **{name: (None, *values) for name, values in LYRICS_FACTS.items()}}


@dataclass(frozen=True)
class Facts:
    """Everything that is true of one song.

    `voice` and `syllable_rate` are None for an instrumental song.
    """

    instrument: str
    tempo: str
    mode: str
    drums: bool
    register: str
    texture: str
    voice: str | None = None
    syllable_rate: str | None = None

    @property
    def vocals(self) -> bool:
        """Whether somebody sings."""
        return self.voice is not None

    def as_dict(self) -> dict[str, str | bool | None]:
        """Return the facts by name, `vocals` included, as prompts carry them."""
        return {**asdict(self), "vocals": self.vocals}


def fact_index(name: str, facts: Facts) -> int:
    """Return the index of the value of a fact among those in `HEARD`."""
    return HEARD[name].index(getattr(facts, name))


def draw_facts(rng: np.random.Generator, vocals: bool | None = None) -> Facts:
    """Draw facts uniformly; 40 % of songs are sung unless `vocals` decides."""

    def pick(values) -> str:
        return str(rng.choice(list(values)))

    sung = bool(rng.random() < 0.4) if vocals is None else vocals
    return Facts(
        instrument=pick(INSTRUMENTS),
        tempo=pick(TEMPI),
        mode=pick(MODES),
        drums=bool(rng.random() < 0.5),
        register=pick(REGISTERS),
        texture=pick(TEXTURES),
        voice=pick(VOICES) if sung else None,
        syllable_rate=pick(SYLLABLE_RATES) if sung else None,
    )


def change_facts(facts: Facts, names: tuple[str, ...], rng: np.random.Generator) -> Facts:
    """Return facts that differ from the given ones in exactly the named facts.

    Parameters
    ----------
    names
        Names from `CAPTION_FACTS` and `LYRICS_FACTS`. `vocals` adds a voice to an instrumental song and removes it
        from a sung one; `voice` and `syllable_rate` need a sung song.

    Raises
    ------
    ValueError
        If an instrumental song is asked to change its voice or the rate of its syllables.
    """
    changed = facts
    for name in names:
        if name == "vocals":
            sung = not facts.vocals
            changed = replace(
                changed,
                voice=str(rng.choice(list(VOICES))) if sung else None,
                syllable_rate=str(rng.choice(list(SYLLABLE_RATES))) if sung else None,
            )
            continue
        old = getattr(facts, name)
        if old is None:
            raise ValueError(f"an instrumental song has no {name} to change")
        values = [value for value in {**CAPTION_FACTS, **LYRICS_FACTS}[name] if value != old]
        other: Any = values[int(rng.integers(len(values)))]
        changed = replace(changed, **{name: other})
    return changed
