"""The gold judges hear what is true of a clip, whatever its neighbours, and their training can be killed."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.lab.gold import (
    CONFIG,
    MOST_ODDS,
    WEIGHTS,
    Gold,
    GoldB,
    Impression,
    config_of_model,
    requested_facts,
)
from experiments.lab.gold_agreement import GoldAgreement, kappa, within
from experiments.lab.gold_agreement import main as agree
from experiments.lab.gold_b import features as features_b
from experiments.lab.gold_b.model import GoldBModel
from experiments.lab.gold_b.songs import gold_b_damage, gold_b_song
from experiments.lab.gold_check import GoldCheck, check_pool, musicality_order
from experiments.lab.gold_check import main as check
from experiments.lab.gold_judge.features import LOWEST_PITCH, MEL_HOP, STEPS, spectrograms, tempogram
from experiments.lab.gold_judge.model import GoldModel
from experiments.lab.gold_judge.songs import gold_damage, gold_song
from experiments.lab.training import gold as train_gold
from experiments.lab.training.loop import Schedule
from experiments.lab.training.regenerated import Player
from experiments.lab.world.coded_audio import clip_of
from experiments.lab.world.corpus import Song, stream
from experiments.lab.world.damage import KINDS
from experiments.lab.world.facts import CAPTION_FACTS, HEARD, Facts, draw_facts
from experiments.lab.world.rendering import SAMPLE_RATE, render
from music.clips import Clip, write_clip
from music.errors import InputError
from music.jsonl import read_jsonl
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from music.shipped_files import asset
from reward import ScoreRequest, load_scorer

TINY = Schedule(steps=2, batch_size=4, check_every=1)


@pytest.fixture(scope="module")
def gold():
    return Gold(device="cpu")


@pytest.fixture(scope="module")
def gold_b():
    return GoldB(device="cpu")


@pytest.fixture(scope="module")
def player():
    return Player(asset("lab/musicgen"))


def request(one: Song, **facts) -> ScoreRequest:
    return ScoreRequest(
        clip_of(one), Prompt("p", "words", facts=facts or {"instrument": one.facts.instrument})
    )


# what is heard


def test_a_sine_sounds_in_the_band_of_its_pitch():
    for pitch in (45, 69, 93):
        time = torch.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
        wave = torch.sin(2 * torch.pi * 440 * 2 ** ((pitch - 69) / 12) * time)
        _, found = spectrograms(wave[None])
        assert found[0].mean(1).argmax() == (pitch - LOWEST_PITCH) * STEPS // 12


def test_the_second_judges_hear_pitches_and_pulses_in_their_own_way():
    time = torch.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    for pitch in (45, 69, 93):
        wave = torch.sin(2 * torch.pi * 440 * 2 ** ((pitch - 69) / 12) * time)
        _, found = features_b.loudness_and_pitches(wave[None])
        assert found[0].mean(1).argmax() == (pitch - features_b.LOWEST_PITCH) * features_b.STEPS // 12
    beats = torch.zeros(1, 4 * SAMPLE_RATE)
    beats[0, :: SAMPLE_RATE // 2] = 1.0
    bands, pitches = features_b.loudness_and_pitches(beats)
    ratio = torch.arange(features_b.PULSES) / (features_b.PULSES - 1)
    hertz = features_b.SLOWEST * (features_b.FASTEST / features_b.SLOWEST) ** ratio
    found = features_b.pulse(bands).view(6, -1).mean(0)
    assert hertz[found.argmax()] == pytest.approx(2.0, rel=0.05)
    for one, other in zip(features_b.loudness_and_pitches(0.1 * beats), (bands, pitches), strict=True):
        assert torch.allclose(one, other, atol=0.05)


def test_the_tempogram_peaks_at_the_beat_and_loudness_does_not_count():
    wave = torch.zeros(1, 4 * SAMPLE_RATE)
    wave[0, :: SAMPLE_RATE // 2] = 1.0
    mel, pitch = spectrograms(wave)
    found = tempogram(mel)[0].mean(0)
    assert found[10:45].argmax() + 11 == round(0.5 * SAMPLE_RATE / MEL_HOP)
    for one, other in zip(spectrograms(0.1 * wave), (mel, pitch), strict=True):
        assert torch.allclose(one, other, atol=0.05)


@pytest.mark.parametrize(
    ("network", "features"), [(GoldModel, spectrograms), (GoldBModel, features_b.loudness_and_pitches)]
)
def test_networks_judge_every_length_and_never_their_neighbours(network, features):
    torch.manual_seed(0)
    model = network().eval()
    waves = torch.randn(3, 3 * SAMPLE_RATE)
    with torch.no_grad():
        together, alone = model(*features(waves)), model(*features(waves[1:2]))
        for name, value in together.items():
            assert torch.allclose(value[1], alone[name][0], atol=1e-5)
        for seconds in (1, 2, 40):
            found = model(*features(torch.randn(1, seconds * SAMPLE_RATE)))
            assert all(value.isfinite().all() for value in found.values())


# the scorer


def test_a_score_does_not_depend_on_the_batch(gold, tmp_path):
    songs = [gold_song("test", index, seconds) for index, seconds in enumerate((5.0, 2.0, 12.0, 5.0))]
    requests = [request(one) for one in songs]
    together = gold.score(requests)
    assert [gold.score([one])[0] for one in requests] == together
    assert gold.score(requests[::-1]) == together[::-1]
    write_clip(tmp_path / "a.flac", requests[0].audio)
    from_file = gold.score([replace(requests[0], audio=tmp_path / "a.flac")])[0]
    assert from_file == pytest.approx(together[0], abs=1e-4)


def test_alignment_is_the_share_of_the_requested_facts_that_are_heard():
    facts = {
        name: {value: float(index == 0) for index, value in enumerate(values)}
        for name, values in HEARD.items()
    }
    heard = Impression(facts, 0.25, dict.fromkeys(KINDS, 0.0))
    assert heard.best("instrument") == "piano"
    assert heard.best("drums") is True
    asked = {"instrument": "piano", "tempo": "fast", "drums": True, "mode": "minor"}
    prompt = Prompt("p", "words", facts=asked)
    assert heard.alignment(requested_facts(prompt)) == 0.5
    facts["tempo"]["slow"] = 0.75
    assert heard.margin({"tempo": "slow"}) == pytest.approx(math.log(3))
    assert heard.margin({"instrument": "piano", "drums": False}) == pytest.approx(0.0)
    assert heard.margin({"instrument": "piano"}) == MOST_ODDS
    # what nobody asks for does not count, nor what gold does not know
    facts = {"drums": True, "voice": None, "syllable_rate": "fast", "condition": "text"}
    prompt = Prompt("p", "words", facts=facts)
    assert requested_facts(prompt) == {"drums": True}
    assert heard.alignment(requested_facts(prompt)) == 1.0


def test_a_prompt_without_facts_that_can_be_judged_is_refused(gold):
    one = gold_song("test", 0)
    with pytest.raises(
        InputError, match=r"prompt 'p' has no fact that gold can judge: expected any of instrument"
    ):
        gold.score([request(one, condition="text")])
    with pytest.raises(InputError, match=r'fact tempo is "brisk", gold knows "slow", "medium", "fast"'):
        gold.score([request(one, tempo="brisk", drums=True)])


def test_too_short_audio_is_refused_by_name(gold, tmp_path):
    write_clip(tmp_path / "short.flac", Clip(torch.zeros(1, 8000), SAMPLE_RATE))
    with pytest.raises(InputError, match=r"short\.flac: 0\.50 s of audio are too short"):
        gold.hear(tmp_path / "short.flac")


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"holds no gold judges .*: train them with"):
        Gold(tmp_path)
    (tmp_path / CONFIG).write_text("{")
    with pytest.raises(InputError, match=r"config\.json cannot be read as JSON"):
        Gold(tmp_path)
    config = config_of_model()
    (tmp_path / CONFIG).write_text(json.dumps({**config, "damage": config["damage"][::-1]}))
    with pytest.raises(InputError, match="judges of other facts or damage"):
        Gold(tmp_path)


# the shipped judges


def test_the_shipped_judges_are_small_and_load_by_name(gold):
    assert (asset("lab/gold") / WEIGHTS).stat().st_size < 1.5e6
    scorer = load_scorer("experiments.lab.gold:Gold", device="cpu")
    assert scorer.metrics == ("gold_alignment", "gold_margin", "gold_musicality")
    assert (scorer.name, scorer.hash) == ("gold", gold.hash)
    second = load_scorer("experiments.lab.gold:GoldB", device="cpu")
    assert second.metrics == ("gold_b_alignment", "gold_b_margin", "gold_b_musicality")
    assert (asset("lab/gold_b") / WEIGHTS).stat().st_size < 1.5e6
    assert second.hash != scorer.hash


def test_musicality_falls_with_severity(gold):
    means = []
    for strength in (0.0, 0.4, 0.9):
        rng = stream("gold test", "kinds")
        songs = [gold_song("test", 1_000 + index, damaged=False) for index in range(16)]
        damages = [{KINDS[int(rng.integers(len(KINDS)))]: strength} if strength else {} for _ in songs]
        broken = [replace(one, damage=damage) for one, damage in zip(songs, damages, strict=True)]
        scores = gold.score([request(one) for one in broken])
        means.append(np.mean([row["gold_musicality"] for row in scores]))
    assert means[0] > means[1] + 0.1 > means[2] + 0.2


@pytest.mark.parametrize("judges", ["gold", "gold_b"])
def test_the_shipped_judges_hear_the_facts_of_held_out_songs(judges, gold, gold_b):
    gold = {"gold": gold, "gold_b": gold_b}[judges]
    songs = [gold_song("test", 2_000 + index, damaged=False) for index in range(30)]
    heard = [gold.hear(clip_of(one)) for one in songs]
    for name, least in (("instrument", 27), ("drums", 27), ("tempo", 26), ("mode", 24)):
        right = [
            found.best(name) == getattr(one.facts, name) for found, one in zip(heard, songs, strict=True)
        ]
        assert sum(right) >= least
    own = [requested_facts(Prompt("p", "words", facts=one.facts.as_dict())) for one in songs]
    met, missed = (
        np.mean([found.alignment(facts) for found, facts in zip(heard, requested, strict=True)])
        for requested in (own, own[1:] + own[:1])
    )
    assert met > missed + 0.25


def test_the_mode_is_heard_in_every_key(gold):
    one = Song(("test", "gold keys", 0), Facts("piano", "medium", "minor", False, "high", "chords"), 5.0)
    right = 0
    for semitones in range(-6, 6):
        composition = one.composition()
        for notes in composition.parts.values():
            notes[:] = [note._replace(pitch=note.pitch + semitones) for note in notes]
        clip = Clip(torch.from_numpy(render(composition, 5.0))[None], SAMPLE_RATE)
        right += gold.hear(clip).best("mode") == "minor"
    assert right >= 11


# songs, training and measuring


def test_gold_has_songs_and_damage_of_its_own():
    counts = [len(gold_damage(stream("gold test", index))) for index in range(400)]
    assert set(counts) == {0, 1, 2, 3}
    one, bare = gold_song("test", 5), gold_song("test", 5, damaged=False)
    assert bare == replace(one, damage={})
    assert gold_song("train", 5).composition().parts != one.composition().parts
    assert {gold_song("train", index).facts.vocals for index in range(20)} == {True, False}
    assert draw_facts(stream("train", "musicgen", 5, "facts")) != gold_song("train", 5).facts


def test_the_tonic_is_that_of_the_key():
    for index in range(20):
        one = gold_song("train", index)
        scale = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}[one.facts.mode]
        allowed = {(one.tonic + step) % 12 for step in scale}
        assert {
            note.pitch % 12 for part in ("lead", "bass") for note in one.composition().parts[part]
        } <= allowed


@pytest.mark.parametrize(("judges", "load"), [(train_gold.FIRST, Gold), (train_gold.SECOND, GoldB)])
def test_a_training_continues_to_the_same_weights_and_what_it_saves_loads(judges, load, player, tmp_path):
    judges = replace(judges, songs={"train": 8, "validation": 4}, schedule=TINY)
    weights, work = tmp_path / "gold" / WEIGHTS, tmp_path / "work"
    found = []
    for forgotten in ("", "", "checkpoint.pt"):  # anew, from its checkpoint, from the cached songs
        if forgotten:
            (work / forgotten).unlink()
        train_gold.train_gold(judges, weights.parent, work, player)
        found.append(weights.read_bytes())
    assert found[0] == found[1] == found[2]
    log = [row for _, row in read_jsonl(work / "log.jsonl")]
    assert [row["step"] for row in log][:2] == [1, 2]
    assert {*HEARD, "severity_srcc"} <= log[0].keys()
    trained, shipped = load(weights.parent, "cpu"), load(device="cpu")
    assert trained.hash != shipped.hash
    assert 0 <= trained.score([request(gold_song("test", 0))])[0][load.metrics[2]] <= 1


def test_musicality_is_compared_with_the_true_severity():
    severity = np.linspace(0, 1, 20)
    found = musicality_order([Impression({}, one**2, {}) for one in severity], severity, 0)
    assert (found["srcc"], found["clips"]) == (pytest.approx(1.0), 20)
    noisy = severity + np.random.default_rng(0).normal(0, 0.3, 20)
    found = musicality_order([Impression({}, one, {}) for one in noisy], severity, 0)
    assert found["ci95"][0] < found["srcc"] < found["ci95"][1] < 1


def test_the_check_measures_songs_and_pool(tmp_path):
    prompts = [
        Prompt(f"p{index}", "words", facts={"drums": index == 0, "tempo": "slow"}) for index in range(2)
    ]
    pool = Pool(tmp_path / "pool", create=True)
    with pool.writer("songs", {}) as writer:
        for prompt, index, seed in pool.missing(prompts, 2, 0, {}, Processes({})):
            writer.add(prompt, index, seed, clip_of(gold_song("test", index)))
    pool.merge()
    options = GoldCheck(songs=6, seconds=2.0, pool=tmp_path / "pool", output=tmp_path / "check.json")
    check(options)
    found = json.loads(options.output.read_text())
    for sound in ("clean", "coded"):
        for state in ("undamaged", "damaged"):
            rows = found["songs"][sound][state]
            assert rows.keys() >= CAPTION_FACTS.keys()
            assert all(rows[name]["clips"] == 6 for name in CAPTION_FACTS)
            assert all(row["ci95"][0] <= row["share"] <= row["ci95"][1] for row in rows.values())
        assert -1 <= found["songs"][sound]["musicality"]["srcc"] <= 1
    assert found["pool"]["facts"].keys() == {"drums", "tempo"}
    assert found["pool"]["facts"]["drums"]["share"] == 0.5, "the same clips, asked for both"
    assert (found["pool"]["clips"], found["pool"]["prompts"]) == (4, 2)
    assert found["pool"]["scores"]["gold_musicality"]["within_prompts"] > 0
    first = [candidate for candidate in pool.candidates if candidate.candidate == 0]
    alone = check_pool(Gold(device="cpu"), pool, first)
    assert (alone["clips"], alone["scores"]["gold_musicality"]["within_prompts"]) == (2, 0)


# the second judges beside the first


def test_the_second_judges_have_songs_and_damage_of_their_own():
    counts = [len(gold_b_damage(stream("gold b test", index))) for index in range(400)]
    assert set(counts) == {0, 1, 2}
    one, bare = gold_b_song("test", 5), gold_b_song("test", 5, damaged=False)
    assert bare == replace(one, damage={})
    assert gold_b_song("train", 5).composition().parts != gold_song("train", 5).composition().parts
    sounds = {train_gold.SECOND.sound("train", index) for index in range(30)}
    assert sounds == {"clean", "coded", "played"}
    sung = [index for index in range(60) if gold_b_song("train", index).facts.vocals]
    assert all(train_gold.SECOND.sound("train", index) != "played" for index in sung)


def test_what_the_generator_plays_keeps_the_facts_and_is_the_same_again(player, gold):
    songs = [replace(gold_b_song("test", index), damage={}) for index in (0, 1, 3, 4, 5, 6, 8, 9)]
    played = [player.play(one) for one in songs]
    assert np.array_equal(player.play(songs[2]), played[2])
    coded = clip_of(songs[2], player.codec).waveform[0].numpy()
    assert played[2].shape == coded.shape
    assert np.abs(played[2] - coded).max() > 0.05
    heard = [gold.hear(Clip(torch.from_numpy(wave)[None], SAMPLE_RATE)) for wave in played]
    right = [
        found.best("instrument") == one.facts.instrument for found, one in zip(heard, songs, strict=True)
    ]
    assert sum(right) >= 7


def test_agreement_is_measured_beyond_chance_and_within_prompts():
    same = np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    assert kappa(same) == [1.0]
    assert kappa(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])) == [0.0]
    assert math.isnan(kappa(np.ones((3, 2)))[0])
    assert within(np.array([[1.0, 2.0], [-1.0, -2.0]])) == [pytest.approx(1.0)]
    assert math.isnan(within(np.zeros((3, 2)))[0])


def test_the_agreement_about_a_pool(tmp_path, capsys):
    prompts = [Prompt(f"p{index}", "words", facts={"drums": index % 2 == 0}) for index in range(10)]
    pool = Pool(tmp_path / "pool", create=True)
    with pool.writer("songs", {}) as writer:
        for prompt, index, seed in pool.missing(prompts, 2, 0, {}, Processes({})):
            one = gold_song("test", 2 * int(prompt.id[1:]) + index, seconds=2.0)
            writer.add(prompt, index, seed, clip_of(one))
    pool.merge()
    options = GoldAgreement(pools=[pool.folder], output=tmp_path / "found.json", workers=1)
    agree(options)
    found = json.loads(options.output.read_text())[str(pool.folder)]
    assert found["facts"].keys() == {"drums"}
    assert found["facts"]["drums"]["kappa"] > 0.5
    assert found["scores"]["musicality"]["within_prompts"] > 0.3
    # nobody else can choose better for a judge than it does itself
    assert all(row["by_gold"] <= row["by_gold_b"] + 1e-12 for row in found["reachable"].values())
    assert "drums       heard in" in capsys.readouterr().out
    with pool.writer("songs", {}) as writer:
        writer.add(prompts[0], 2, 0, clip_of(gold_song("test", 0, seconds=2.0)))
    pool.merge()
    with pytest.raises(InputError, match="every prompt needs as many candidates"):
        agree(options)
