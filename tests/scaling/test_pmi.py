"""The pointwise mutual information of text and codes is that of the generator's own probabilities."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from generators import load_generator
from generators.filling import fill_pool
from music.clips import Clip
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer, score_pool
from reward.plug_ins import unwrapped
from tests.tiny_musicgen import build_tiny_musicgen

PROMPTS = [Prompt("a", "slow piano"), Prompt("b", "a loud and fast drum loop with a bass")]


@pytest.fixture(scope="module", params=[1, 2], ids=["mono", "stereo"])
def musicgen(request, tmp_path_factory) -> Path:
    return build_tiny_musicgen(tmp_path_factory.mktemp("musicgen"), channels=request.param, codebooks=2)


@pytest.fixture(scope="module")
def pool(musicgen, tmp_path_factory) -> Pool:
    generator = load_generator(str(musicgen), device="cpu", batch_size=2)
    pool = Pool(tmp_path_factory.mktemp("made") / "pool", create=True)
    fill_pool(generator, PROMPTS, 2, 0.3, pool, 1, Processes({}))
    return pool


@pytest.fixture
def scorer(musicgen):
    return load_scorer("scaling.pmi:PMI", device="cpu", checkpoint=str(musicgen))


def requests_of(pool):
    return [ScoreRequest(pool.path(one), pool.prompt(one)) for one in pool]


@torch.no_grad()
def test_it_is_what_the_forward_of_transformers_gives(scorer, pool, musicgen):
    from transformers import AutoTokenizer, MusicgenForConditionalGeneration
    from transformers.modeling_outputs import BaseModelOutput

    model = MusicgenForConditionalGeneration.from_pretrained(musicgen).eval()
    tokenizer = AutoTokenizer.from_pretrained(musicgen)
    for candidate, found in zip(pool, scorer.score(requests_of(pool)), strict=True):
        codes = pool.tokens(candidate).long()
        books, frames = codes.shape
        lags = [book // model.config.decoder.audio_channels for book in range(books)]
        read = torch.full((books, frames + max(lags)), model.config.decoder.vocab_size)
        for book, lag in enumerate(lags):
            last = min(frames, read.shape[1] - lag - 1)
            read[book, lag + 1 : lag + 1 + last] = codes[book, :last]
        text = tokenizer(candidate.text, return_tensors="pt")
        states = model.text_encoder(**text).last_hidden_state
        totals = []
        for given in (states, torch.zeros_like(states)):
            mask = text["attention_mask"] * int(bool(given.any()))
            logits = model(
                encoder_outputs=BaseModelOutput(given), attention_mask=mask, decoder_input_ids=read
            ).logits.log_softmax(dim=-1)
            own = [logits[book, lag : lag + frames] for book, lag in enumerate(lags)]
            totals.append(sum(float(one.gather(-1, codes[k][:, None]).sum()) for k, one in enumerate(own)))
        assert found == {"pmi": pytest.approx((totals[0] - totals[1]) / codes.numel(), abs=1e-5)}


def test_no_score_depends_on_the_batch_the_order_or_the_call(scorer, pool, musicgen):
    requests = requests_of(pool)
    together = scorer.score(requests)
    assert len({found["pmi"] for found in together}) == len(requests)
    assert [scorer.score([one])[0] for one in requests] == together
    assert scorer.score(requests[::-1]) == together[::-1]
    again = load_scorer("scaling.pmi:PMI", device="cpu", checkpoint=str(musicgen))
    assert (again.score(requests), again.hash) == (together, scorer.hash)
    assert load_scorer("scaling.pmi:PMI", "cpu", "bfloat16", checkpoint=str(musicgen)).hash != scorer.hash


def test_another_text_explains_a_clip_otherwise(scorer, pool):
    (request, *_) = requests_of(pool)
    other = ScoreRequest(request.audio, Prompt("a", "fast rock"))
    assert scorer.score([other]) != scorer.score([request])


def test_a_pool_that_has_grown_is_read_again(scorer, pool, musicgen, tmp_path):
    grown = Pool(shutil.copytree(pool.folder, tmp_path / "pool"))
    before = len(score_pool(grown, scorer).table(grown.candidates))
    generator = load_generator(str(musicgen), device="cpu", batch_size=2)
    fill_pool(generator, PROMPTS, 3, 0.3, grown, 1, Processes({}))
    table = score_pool(grown, scorer)
    assert (before, len(table.table(grown.candidates))) == (4, 6)
    assert (grown.folder / "scores" / f"pmi-{musicgen.name}.jsonl").is_file()


def test_what_has_no_codes_is_an_error(scorer, pool, tmp_path):
    request, audio = requests_of(pool)[0], tmp_path / "a" / "b" / "clip.flac"
    audio.parent.mkdir(parents=True)
    shutil.copy(request.audio, audio)
    for heard, message in (
        (Clip(torch.zeros(1, 100), 16_000), "score a pool"),
        (audio, "is not a pool"),
        (request.audio.with_name("00009.flac"), "is no clip of the pool"),
    ):
        with pytest.raises(InputError, match=message):
            scorer.score([ScoreRequest(heard, request.prompt)])
    with pytest.raises(InputError, match="there is none"):
        scorer.check_prompt(Prompt("a", " "))


def test_the_codes_of_another_codec_are_an_error(pool, musicgen, tmp_path):
    lab = load_scorer("scaling.pmi:PMI", device="cpu")
    assert unwrapped(lab).features == ("lab-musicgen",)
    other = shutil.copytree(musicgen, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    (last,) = (
        key for key in weights if key.startswith("audio_encoder.decoder.layers.9") and "original1" in key
    )
    weights[last] = weights[last].flip(0, 1)
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    same_sizes = load_scorer("scaling.pmi:PMI", device="cpu", checkpoint=str(other))
    for scorer in (lab, same_sizes):
        with pytest.raises(InputError, match=r"does not make .* of its tokens: .* --checkpoint"):
            scorer.score(requests_of(pool)[:1])


def test_only_a_plain_musicgen_will_do(tmp_path):
    melody = build_tiny_musicgen(tmp_path / "melody", melody=4)
    for name in (str(melody), "lab-stable-audio"):
        with pytest.raises(InputError, match="a plain MusicGen of transformers"):
            load_scorer("scaling.pmi:PMI", device="cpu", checkpoint=name)
