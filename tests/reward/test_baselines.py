"""Baselines give what their models' own code gives, whatever else is scored."""

import json
from types import SimpleNamespace

import pytest
import torch

from music.clips import Clip, read_clip
from music.errors import InputError
from music.prompts import Prompt
from music.shipped_files import asset
from reward import ScoreRequest, load_scorer
from reward.cmi_rm.checkpoint import muq_tensors
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.towers import build_towers, find_tower_files


@pytest.fixture(scope="module")
def folk(scoring):
    """Return a clip of a real file, and one of 23 s that repeats it with other levels."""
    clip = read_clip(scoring / "audio" / "a0.flac").mono()
    pieces = [clip.waveform * level for level in (1.0, 0.5, 0.2)] * 9
    return clip, Clip(torch.cat(pieces, dim=1), clip.sample_rate).first(23.0)


def score(scorer, clip, text="slow piano", reference=None):
    (found,) = scorer.score([ScoreRequest(clip, Prompt("p", text, "", reference))])
    return found


def mulan_latents(place):
    """Return muq's own embeddings of a wave and of a text."""
    files = find_tower_files(place, Locator())
    build_towers(files)  # which makes muq importable
    from muq.muq_mulan.models.mulan import MuLanModel
    from muq.muq_mulan.muq_mulan import MuQMuLan

    audio, text = build_towers(files)
    model = MuLanModel(audio_transformer=audio, text_transformer=text, **files.mulan["mulan"]).eval()
    tensors = muq_tensors(Locator().folder(place, ("config.json",)))
    model.load_state_dict({key.removeprefix("mulan."): value for key, value in tensors.items()}, strict=True)
    windows = SimpleNamespace(sr=24_000, clip_secs=files.mulan["mulan"]["clip_secs"])

    def hear(wave):
        with torch.no_grad():
            return model.get_audio_latents(MuQMuLan._get_all_clips(windows, wave)).mean(dim=0)

    def read(words):
        tokens = files.tokenizer([words], return_tensors="pt")
        with torch.no_grad():
            frames = text.transformer(text.proj(text.model(**tokens).last_hidden_state))
            return torch.nn.functional.normalize(model.text_to_latents(frames.mean(dim=1)), dim=-1)[0]

    return hear, read


def test_mulan_gives_what_muq_gives(folk):
    hear, read = mulan_latents("lab-mulan")
    scorer = load_scorer("mulan:lab-mulan", device="cpu")
    assert scorer.metrics == ("lab-mulan_similarity",)
    for clip in (Clip(torch.cat([folk[0].waveform] * 4, dim=1), folk[0].sample_rate).first(10.0), folk[1]):
        wave = clip.resampled(24_000).waveform[0]
        expected = pytest.approx(float(hear(wave) @ read("a slow piano")), abs=1e-5)
        assert score(scorer, clip, "a slow piano")["lab-mulan_similarity"] == expected


def test_mulan_compares_with_the_reference(folk, scoring):
    scorer = load_scorer("mulan-reference:lab-mulan", device="cpu")
    same, other = scoring / "audio" / "a0.flac", scoring / "audio" / "a1.flac"
    near = score(scorer, folk[0], reference=same)["lab-mulan_reference_similarity"]
    assert near == pytest.approx(1.0, abs=1e-5)
    assert score(scorer, folk[0], reference=other)["lab-mulan_reference_similarity"] < near
    with pytest.raises(InputError, match="there is none"):
        score(scorer, folk[0])


def test_the_labs_mulan_knows_texts():
    rows = [json.loads(line) for line in asset("lab/prompts.jsonl").read_text().splitlines()][:2]
    scorer = load_scorer("mulan:lab-mulan", device="cpu")
    clip = Clip(torch.randn(1, 48_000, generator=torch.Generator().manual_seed(0)) * 0.1, 24_000)
    assert score(scorer, clip, rows[0]["text"]) != score(scorer, clip, rows[1]["text"])


def test_clap_gives_what_transformers_gives(clap_folder, folk):
    from transformers import AutoFeatureExtractor, AutoTokenizer, ClapModel

    scorer = load_scorer(f"clap:{clap_folder}", device="cpu")
    model = ClapModel.from_pretrained(clap_folder).eval()
    extract, tokenize = (one.from_pretrained(clap_folder) for one in (AutoFeatureExtractor, AutoTokenizer))
    wave = folk[0].resampled(48_000).waveform[0]
    with torch.no_grad():
        inputs = extract(wave.numpy(), sampling_rate=48_000, return_tensors="pt")
        found = model(**inputs, **tokenize("slow piano", return_tensors="pt"))
    expected = float(found.audio_embeds[0] @ found.text_embeds[0])
    assert score(scorer, folk[0])["tiny-clap_similarity"] == pytest.approx(expected, abs=1e-5)


def test_clap_hears_all_of_a_long_clip(clap_folder, folk):
    scorer = load_scorer(f"clap:{clap_folder}", device="cpu")
    assert score(scorer, folk[1]) == score(scorer, folk[1])
    assert score(scorer, folk[1]) != score(scorer, folk[1].first(10.0))
    with pytest.raises(InputError, match="there is none"):
        score(scorer, folk[0], " ")


def test_hashes_tell_models_and_subjects_apart(clap_folder):
    names = ("mulan:lab-mulan", "mulan-reference:lab-mulan", f"clap:{clap_folder}", "constant", "loudness")
    assert len({load_scorer(name, device="cpu").hash for name in names}) == len(names)


def test_a_place_without_a_model_is_an_error(tmp_path, scoring):
    with pytest.raises(InputError, match=r"the folder .*sa_plain has no config\.json"):
        load_scorer(f"clap:{scoring / 'sa_plain'}", device="cpu")
    with pytest.raises(InputError, match="leave 'x' out"):
        load_scorer("constant:x")


def test_constant_and_loudness(folk):
    assert score(load_scorer("constant"), folk[0]) == {"constant": 0.0}
    loudness = load_scorer("loudness")
    loud, half = folk[0], Clip(folk[0].waveform * 0.5, folk[0].sample_rate)
    levels = [score(loudness, clip)["loudness"] for clip in (loud, half)]
    assert levels[0] - levels[1] == pytest.approx(6.0206, abs=1e-3)
    assert score(loudness, Clip(torch.zeros(1, 100), 24_000)) == {"loudness": -120.0}


def test_ensembles(folk, scoring):
    places = [str(scoring / name) for name in ("sa_plain", "sa_conv")]
    singles = [score(load_scorer(place, device="cpu"), folk[0]) for place in places]
    a, b = (one["musicality"] for one in singles)
    for rule, expected in (
        ("mean", (a + b) / 2),
        ("worst", min(a, b)),
        ("cautious", (a + b) / 2 - (a - b) ** 2 / 4),
    ):
        scorer = load_scorer(f"{rule}:{'+'.join(places)}", device="cpu")
        assert scorer.metrics == ("musicality", "alignment")
        assert score(scorer, folk[0])["musicality"] == pytest.approx(expected, abs=1e-6)
    with pytest.raises(InputError, match="at least two"):
        load_scorer("mean:lab-cmi-rm", device="cpu")
    with pytest.raises(InputError, match="no metric in common"):
        load_scorer("mean:constant+loudness", device="cpu")
