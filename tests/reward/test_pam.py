"""PAM gives what its formula gives over msclap's own model."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from music.clips import Clip, read_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.baselines.pam import TEXTS, cut
from tests.tiny_msclap import build_msclap

RATE, PIECE = 44_100, 7 * 44_100


@pytest.fixture(scope="module")
def clip(scoring):
    """Return 17 s of real files, at the model's rate."""
    waves = [read_clip(scoring / "audio" / f"{name}.flac").mono().waveform for name in ("a1", "a0", "a1")]
    return Clip(torch.cat(waves, dim=1), 24_000).resampled(RATE).first(17.0)


def expected(folder, pieces):
    """Return PAM as the paper has it: prompts padded with exclamation marks as msclap does, the mean of the pieces."""
    from transformers import AutoTokenizer

    model = build_msclap(folder / "gpt2").eval()
    weights = torch.load(folder / "CLAP_weights_2023.pth", weights_only=True)["model"]
    left = model.load_state_dict(weights, strict=False)
    assert not left.missing_keys
    tokenizer = AutoTokenizer.from_pretrained(folder / "gpt2")
    tokenizer.add_special_tokens({"pad_token": "!"})
    texts = [f"{text} <|endoftext|>" for text in TEXTS]
    tokens = tokenizer(texts, padding="max_length", max_length=77, return_tensors="pt")
    with torch.no_grad():
        asked = model.caption_encoder(tokens)
        heard = model.audio_encoder(pieces)[0]
        similarities = cosine_similarity(heard[:, None], asked[None], dim=-1)
        return float((model.logit_scale.exp() * similarities).softmax(dim=1)[:, 0].mean())


def found(folder, clip):
    scorer = load_scorer(f"pam:{folder}", device="cpu")
    (scores,) = scorer.score([ScoreRequest(clip, Prompt("p", ""))])
    return scores["pam"]


def test_it_is_the_mean_over_pieces_of_which_the_last_ends_with_the_clip(pam_folder, clip):
    wave = clip.waveform[0]
    pieces = torch.stack([wave[:PIECE], wave[PIECE : 2 * PIECE], wave[-PIECE:]])
    assert found(pam_folder, clip) == pytest.approx(expected(pam_folder, pieces), abs=1e-5)


def test_a_short_clip_is_repeated(pam_folder, clip):
    short = clip.first(3.0)
    pieces = torch.cat([short.waveform] * 3, dim=1)[:, :PIECE]
    assert found(pam_folder, short) == pytest.approx(expected(pam_folder, pieces), abs=1e-5)


@pytest.mark.parametrize(
    ("samples", "firsts"), [(1, [0]), (6, [0]), (7, [0]), (8, [0, 1]), (14, [0, 7]), (20, [0, 7, 13])]
)
def test_pieces_cover_the_clip(samples, firsts):
    wave = torch.arange(samples)
    assert [piece.tolist() for piece in cut(wave, 7)] == [
        [(first + step) % samples for step in range(7)] for first in firsts
    ]


def test_msclap_silences_nothing(pam_folder):
    from transformers.utils import logging

    load_scorer(f"pam:{pam_folder}", device="cpu")
    assert logging.get_verbosity() == logging.WARNING


@pytest.mark.parametrize("content", [b"no checkpoint", {"weights": {}}, {"model": {}}])
def test_a_file_that_is_no_clap_is_an_error(pam_folder, tmp_path, content):
    path = tmp_path / "CLAP_weights_2023.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    (tmp_path / "gpt2").symlink_to(pam_folder / "gpt2")
    with pytest.raises(InputError, match="holds no CLAP of msclap"):
        load_scorer(f"pam:{tmp_path}", device="cpu")
