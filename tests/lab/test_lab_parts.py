"""Every part of `experiments.lab.train`, on a handful of songs: what it saves loads, and a second call keeps it."""

from dataclasses import replace

import pytest

from experiments.lab import pairs, train
from experiments.lab.training import cmi_rm as train_cmi_rm
from experiments.lab.training import codec as train_codec
from experiments.lab.training import gold as train_gold
from experiments.lab.training import mulan as train_mulan
from experiments.lab.training import mulan_played as train_mulan_played
from experiments.lab.training import musicgen as train_musicgen
from experiments.lab.training import stable_audio as train_stable_audio
from experiments.lab.training import taught as train_taught
from experiments.lab.training import vae as train_vae
from experiments.lab.training.dit_start import DitShape
from experiments.lab.training.loop import Schedule
from experiments.lab.training.vae_start import VaeShape
from generators import load_generator
from generators.musicgen.spectral_codec import SpectralCodecConfig
from generators.protocol import Job
from music.errors import InputError
from music.jsonl import read_jsonl
from music.prompts import load_prompts
from reward import ScoreRequest, load_scorer

TINY = Schedule(steps=2, batch_size=2, check_every=1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Train all parts in order, once, and return their options."""
    folder = tmp_path_factory.mktemp("lab")
    options = train.TrainLab(output=folder / "models", work=folder / "work")
    with pytest.MonkeyPatch.context() as patch:
        for module in (train_musicgen, train_vae, train_stable_audio, train_mulan, train_mulan_played):
            patch.setattr(module, "SONGS", {"train": 6, "validation": 4})
        patch.setattr(train_musicgen.train_musicgen, "__defaults__", (TINY, TINY))
        small = VaeShape(latent=12, envelopes=2, bands=8, stride=40, decoder=12)
        patch.setattr(train_vae.train_vae, "__defaults__", (small, TINY))
        denoiser = (DitShape(1, 2, 16), (TINY,), TINY)
        patch.setattr(train_stable_audio.train_stable_audio, "__defaults__", denoiser)
        patch.setattr(train_mulan.train_mulan, "__defaults__", (TINY, TINY, TINY))
        patch.setattr(train_mulan_played.train_mulan_played, "__defaults__", (TINY, TINY))
        for name, judges in (("gold", train_gold.FIRST), ("gold_b", train_gold.SECOND)):
            small_judges = replace(judges, songs={"train": 6, "validation": 4}, schedule=TINY)
            patch.setitem(train.PARTS, name, train.judges(small_judges, name))
        patch.setattr(pairs, "HELD_OUT", dict.fromkeys(pairs.HELD_OUT, 1))
        config = SpectralCodecConfig(codebook_size=128, num_codebooks=3, griffin_lim_iterations=2)
        patch.setattr(train_codec.train_codec, "__defaults__", (4, config))
        for more in ("", "_ON"):
            patch.setattr(
                train_cmi_rm, f"PAIRS{more}", dict.fromkeys(("train", "validation"), pairs.HELD_OUT)
            )
            patch.setattr(train_cmi_rm, f"ACROSS{more}", {"train": 3, "validation": 0})
            patch.setattr(train_cmi_rm, f"STEPS{more}", (2, 2))
        for module in (train_mulan_played, train_cmi_rm):
            patch.setattr(module, "CLIPS", {"train": 6, "validation": 4})
        few = {"played": 3, "generated": 3, "shades": 3}
        patch.setattr(train_cmi_rm, "MATCHED", dict.fromkeys(("train", "validation"), few))
        small_loop = {"rounds": 1, "budget": 6, "limit": 3, "n": 4, "seconds": 1.0, "validation": 0.34}
        patch.setattr(train_taught, "TEACHING", replace(train_taught.TEACHING, **small_loop, device="cpu"))
        patch.setattr(train_cmi_rm, "PLAYED", {"train": 3, "validation": 2})
        patch.setattr(train_cmi_rm, "PLAYED_ACROSS", {"train": 2, "validation": 0})
        train.main(options)
        yield options


@pytest.mark.slow
def test_what_is_saved_loads_and_works(trained):
    prompts = load_prompts(trained.output / "prompts.jsonl", 2)
    generator = load_generator(trained.output / "musicgen", device="cpu", batch_size=2)
    assert generator.max_seconds == pytest.approx(5.0, abs=0.1)
    samples = list(generator.generate([Job(prompt, 0, 1) for prompt in prompts], 1.0))
    for folder in ("cmi_rm", "played/cmi_rm", "played/taught"):
        scorer = load_scorer(trained.output / folder, device="cpu")
        scores = scorer.score([ScoreRequest(sample.clip, sample.job.prompt) for sample in samples])
        assert all(set(row) == {"musicality", "alignment"} for row in scores)
    for part in ("mulan", "mulan_played"):
        assert [row["step"] for _, row in read_jsonl(trained.work / part / "log.jsonl")] == [1, 2]


@pytest.mark.slow
def test_the_stable_audio_that_is_saved_generates(trained):
    prompts = load_prompts(trained.output / "prompts.jsonl", 2)
    generator = load_generator(trained.output / "stable_audio", device="cpu", batch_size=2, steps=3)
    samples = list(generator.generate([Job(prompt, 0, 1) for prompt in prompts], 1.0))
    assert [sample.clip.samples for sample in samples] == [16_000] * 2


@pytest.mark.slow
def test_a_second_training_gives_the_same_models(trained):
    before = (trained.output / "musicgen" / "model.safetensors").read_bytes()
    train.main(train.TrainLab("musicgen", trained.output, trained.work))
    assert (trained.output / "musicgen" / "model.safetensors").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("part", ["musicgen", "gold"])
def test_work_of_another_schedule_is_refused(trained, monkeypatch, part):
    longer = replace(TINY, steps=3)
    monkeypatch.setattr(train_musicgen.train_musicgen, "__defaults__", (longer, TINY))
    small = replace(train_gold.FIRST, songs={"train": 6, "validation": 4}, schedule=longer)
    monkeypatch.setitem(train.PARTS, "gold", train.judges(small, "gold"))
    with pytest.raises(InputError, match=r"another schedule( \(.*\))?: delete it"):
        train.main(train.TrainLab(part, trained.output, trained.work))


@pytest.mark.parametrize(("part", "needed"), [("musicgen", "codec"), ("stable_audio", "autoencoder")])
def test_a_part_without_what_it_needs_says_so(tmp_path, part, needed):
    with pytest.raises(InputError, match=f"no {needed} in"):
        train.main(train.TrainLab(part, tmp_path / "models", tmp_path / "work"))
