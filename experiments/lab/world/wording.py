"""Says a song's facts in words: captions in many phrasings, and lyrics whose vowel and pace can be heard."""

from collections.abc import Mapping, Sequence

import numpy as np

from experiments.lab.world.facts import SYLLABLE_RATES, TEMPI, Facts

INSTRUMENT_WORDS = {
    "piano": ("piano", "grand piano", "keyboard piano"),
    "guitar": ("guitar", "acoustic guitar", "nylon guitar"),
    "strings": ("strings", "string ensemble", "violins"),
    "flute": ("flute", "concert flute", "wooden flute"),
    "synth": ("synth", "synth lead", "square wave synthesizer"),
    "marimba": ("marimba", "wooden marimba", "mallet marimba"),
    "trumpet": ("trumpet", "brass trumpet", "bright trumpet"),
    "organ": ("organ", "hammond organ", "drawbar organ"),
}
ADJECTIVES = {
    ("tempo", "slow"): ("slow", "unhurried", "downtempo"),
    ("tempo", "medium"): ("mid-tempo", "moderate", "walking pace"),
    ("tempo", "fast"): ("fast", "quick", "uptempo"),
    ("mode", "major"): ("happy", "cheerful", "sunny"),
    ("mode", "minor"): ("sad", "melancholic", "sombre"),
    ("register", "low"): ("low", "deep", "low-pitched"),
    ("register", "high"): ("high", "high-pitched", "shimmering high"),
}
CLAUSES = {
    ("tempo", "slow"): ("at a slow tempo", "around 75 bpm", "the pace is slow"),
    ("tempo", "medium"): ("at a medium tempo", "around 105 bpm", "the pace is moderate"),
    ("tempo", "fast"): ("at a fast tempo", "around 155 bpm", "the pace is fast"),
    ("mode", "major"): ("in a major key", "in a bright major mode", "the mood is happy"),
    ("mode", "minor"): ("in a minor key", "in a dark minor mode", "the mood is sad"),
    ("register", "low"): ("in the low register", "played low down"),
    ("register", "high"): ("in the high register", "played high up"),
    ("drums", True): ("with drums", "over a steady drum beat", "driven by a drum kit"),
    ("drums", False): ("without drums", "no drums", "no percussion"),
    ("vocals", True): ("with singing", "with a sung line", "with vocals"),
    ("vocals", False): ("instrumental", "no vocals", "without singing"),
}
TEXTURE_WORDS = {
    "melody": ("{} melody", "solo {} line", "{} tune"),
    "chords": ("{} chords", "block chords on the {}", "{} harmonies"),
    "arpeggio": ("{} arpeggios", "broken chords on the {}", "rolling {} figures"),
}
CLEAN_WORDS = ("clean recording", "well played", "high quality", "tight and in tune")
DAMAGE_WORDS = {
    "wrong_notes": ("wrong notes", "out of tune melody"),
    "jitter": ("uneven timing", "sloppy rhythm"),
    "off_key_bass": ("off-key bass", "clashing bass"),
    "wobble": ("wobbly pitch", "warped tape"),
    "cuts": ("abrupt cuts", "choppy editing"),
    "dropouts": ("dropouts", "stuttering gaps"),
    "clipping": ("distorted", "clipping"),
    "noise": ("noisy", "hissing noise"),
}
OPENINGS = ("", "a piece with ", "music with ", "a recording of ", "a track featuring ")
LYRICS_WORDS = {
    "ah": ("la", "star", "far", "dark", "heart", "spark", "ah", "calm", "arm", "park"),
    "oh": ("oh", "home", "road", "gold", "stone", "slow", "snow", "hope", "rose", "low"),
    "ee": ("dream", "sea", "free", "sleep", "we", "leaf", "breeze", "me", "green", "street"),
}


def _pick(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]


def caption(facts: Facts, named: Sequence[str], rng: np.random.Generator) -> str:
    """Describe the named facts in one sentence.

    Parameters
    ----------
    named
        Names from `facts.CAPTION_FACTS`; the instrument is always named.
    """
    instrument = _pick(rng, INSTRUMENT_WORDS[facts.instrument])
    subject = _pick(rng, TEXTURE_WORDS[facts.texture]) if "texture" in named else "{}"
    adjectives: list[str] = []
    clauses: list[str] = []
    for name in rng.permutation([name for name in named if name not in ("instrument", "texture")]):
        value = getattr(facts, name)
        if (name, value) in ADJECTIVES and len(adjectives) < 2 and rng.random() < 0.6:
            adjectives.append(_pick(rng, ADJECTIVES[name, value]))
        else:
            clauses.append(_pick(rng, CLAUSES[name, value]))
    head = " ".join([*adjectives, subject.format(instrument)])
    return ", ".join([_pick(rng, OPENINGS) + head, *clauses])


def quality(damage: Mapping[str, float], rng: np.random.Generator) -> str:
    """Say how well a song is played and recorded, as listeners who write captions sometimes do."""
    if not damage:
        return _pick(rng, CLEAN_WORDS)
    return ", ".join(_pick(rng, DAMAGE_WORDS[kind]) for kind in damage)


def lyrics(facts: Facts, seconds: float, rng: np.random.Generator) -> str:
    """Write about one word for each sung syllable, of the voice's vowel, four a line; "" if nobody sings."""
    if facts.voice is None or facts.syllable_rate is None:
        return ""
    bpm = sum(TEMPI[facts.tempo]) / 2
    syllables = max(2, round(seconds * bpm / 60 * SYLLABLE_RATES[facts.syllable_rate]))
    words = [_pick(rng, LYRICS_WORDS[facts.voice]) for _ in range(syllables)]
    return "\n".join(" ".join(words[start : start + 4]) for start in range(0, len(words), 4))
