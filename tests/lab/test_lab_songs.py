"""Lab songs are what they claim to be: repeatable, true to their facts, apart by split, worse when damaged."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from experiments.lab.train import TrainLab
from experiments.lab.train import main as train_lab
from experiments.lab.world import rendering
from experiments.lab.world.composition import SCALES, compose
from experiments.lab.world.corpus import SPLITS, Song, song, stream
from experiments.lab.world.damage import (
    KINDS,
    NOTE_DAMAGE,
    SOUND_DAMAGE,
    damage_notes,
    damage_sound,
    severity,
)
from experiments.lab.world.facts import CAPTION_FACTS, LYRICS_FACTS, TEMPI, change_facts, draw_facts
from experiments.lab.world.rendering import SAMPLE_RATE
from experiments.lab.world.wording import ADJECTIVES, CLAUSES, INSTRUMENT_WORDS, LYRICS_WORDS, caption
from music.errors import InputError


def test_a_song_is_a_function_of_split_purpose_and_index():
    first, again = song("train", "a", 3, damaged=1.0), song("train", "a", 3, damaged=1.0)
    assert first == again
    assert np.array_equal(first.waveform(), again.waveform())
    assert first.caption(("instrument", "tempo")) == again.caption(("instrument", "tempo"))


def test_splits_share_no_song():
    notes = [str(song(split, "a", index).composition().parts) for split in SPLITS for index in range(100)]
    assert len(set(notes)) == len(notes)


@pytest.mark.parametrize("seconds", [5.0, 12.3, 40.0])
def test_length_is_exact_and_the_song_lasts(seconds):
    wave = song("train", "length", 0, seconds).waveform()
    assert wave.shape == (round(seconds * SAMPLE_RATE),)
    assert wave.dtype == np.float32
    assert np.abs(wave).max() == pytest.approx(0.8, abs=1e-4)
    assert np.abs(wave[-2 * SAMPLE_RATE :]).max() > 0.05


def test_compositions_keep_to_their_facts():
    for index in range(40):
        one = song("validation", "facts", index)
        composition = one.composition()
        low, high = TEMPI[one.facts.tempo]
        assert low <= composition.bpm <= high
        assert ("drums" in composition.parts) == one.facts.drums
        assert ("voice" in composition.parts) == one.facts.vocals
        pitches = {note.pitch % 12 for part in ("lead", "bass") for note in composition.parts[part]}
        keys = [key for key in range(12) if pitches <= {(key + step) % 12 for step in SCALES[one.facts.mode]}]
        assert keys, "every note is of one key of the mode"


def test_registers_are_apart():
    rng = np.random.default_rng(0)
    means = {}
    for register in ("low", "high"):
        facts = replace(draw_facts(rng, vocals=False), register=register)
        means[register] = np.mean([note.pitch for note in compose(facts, 10, rng).parts["lead"]])
    assert means["high"] - means["low"] > 12


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_damage_moves_a_song_further(kind):
    distances = []
    for strength in (0.1, 0.9):
        total = 0.0
        for index in range(6):
            clean = song("train", "damage", index)
            broken = Song(clean.key, clean.facts, clean.seconds, {kind: strength})
            spectra = [np.abs(np.fft.rfft(one.waveform().reshape(-1, 800))) for one in (clean, broken)]
            total += float(np.mean((np.log(spectra[0] + 1e-2) - np.log(spectra[1] + 1e-2)) ** 2))
        distances.append(total)
    assert 0 < distances[0] < distances[1]


def test_damage_leaves_the_original_alone():
    clean = song("train", "damage", 1)
    composition = clean.composition()
    before = {part: list(notes) for part, notes in composition.parts.items()}
    damage_notes(composition, dict.fromkeys(NOTE_DAMAGE, 1.0), stream("x"))
    assert composition.parts == before
    wave = clean.waveform()
    copy = wave.copy()
    damage_sound(wave, dict.fromkeys(SOUND_DAMAGE, 1.0), stream("x"))
    assert np.array_equal(wave, copy)


def test_severity_grows_with_each_fault():
    assert severity({}) == 0
    assert severity({"noise": 0.5}) == pytest.approx(0.5)
    assert severity({"noise": 0.5, "cuts": 0.5}) == pytest.approx(0.75)


def test_change_facts_changes_exactly_what_is_named():
    rng = np.random.default_rng(1)
    for _ in range(50):
        facts = draw_facts(rng, vocals=True)
        names = tuple(rng.choice([*CAPTION_FACTS, *LYRICS_FACTS][:6], 2, replace=False))
        changed = change_facts(facts, names, rng)
        before, after = facts.as_dict(), changed.as_dict()
        assert {name for name in before if before[name] != after[name]} == set(names)


def test_an_instrumental_song_has_no_voice_to_change():
    rng = np.random.default_rng(2)
    with pytest.raises(ValueError, match="no voice to change"):
        change_facts(draw_facts(rng, vocals=False), ("voice",), rng)


def test_captions_say_the_named_facts_and_no_wrong_instrument():
    for index in range(60):
        one = song("train", "words", index)
        text = caption(one.facts, ("instrument", "tempo", "drums"), stream("words", index))
        assert any(word in text for word in INSTRUMENT_WORDS[one.facts.instrument])
        right = [*ADJECTIVES.get(("tempo", one.facts.tempo), ()), *CLAUSES["tempo", one.facts.tempo]]
        assert any(word in text for word in right)
        assert any(word in text for word in CLAUSES["drums", one.facts.drums])
        others = INSTRUMENT_WORDS.keys() - {one.facts.instrument}
        assert not any(word in text for kind in others for word in INSTRUMENT_WORDS[kind])


def test_many_phrasings_of_the_same_facts():
    one = song("train", "words", 0)
    assert len({one.caption(tuple(CAPTION_FACTS), turn) for turn in range(50)}) > 40


def test_lyrics_have_the_vowel_and_the_pace_of_the_voice():
    for index in range(30):
        rng = stream("lyrics", index)
        facts = draw_facts(rng, vocals=True)
        words = Song(("train", "lyrics", index), facts, 10.0).lyrics().split()
        assert set(words) <= set(LYRICS_WORDS[facts.voice])
        slow, fast = (round(10.0 * sum(TEMPI[facts.tempo]) / 120 * rate) for rate in (0.5, 2.0))
        assert len(words) == (fast if facts.syllable_rate == "fast" else slow)
    assert Song(("train", "lyrics", 0), draw_facts(stream("q"), vocals=False), 5.0).lyrics() == ""


def test_the_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "symusic", None)
    rendering._synthesizer.cache_clear()
    with pytest.raises(
        InputError, match=r'rendering songs needs symusic, which is not installed: pip install -e "\.\[lab\]"'
    ):
        song("train", "extra", 0).waveform()


@pytest.mark.parametrize(("absent", "extra"), [("symusic", "lab"), ("diffusers", "diffusers")])
def test_training_everything_begins_only_with_the_extras_of_all_parts(monkeypatch, tmp_path, absent, extra):
    monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(InputError, match=rf"needs {absent}, which is not installed: .*\[{extra}\]"):
        train_lab(TrainLab("all", tmp_path / "models", tmp_path / "work"))
    assert list(tmp_path.iterdir()) == []
