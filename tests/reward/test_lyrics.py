"""The words that Whisper hears, against the words that were asked for."""

import pytest
import torch

from music.clips import Clip, read_clip
from music.errors import InputError
from music.prompts import Prompt
from reward import ScoreRequest, load_scorer
from reward.baselines.lyrics import LIBRARIES, words_of
from tests.tiny_whisper import build_tiny_whisper

jiwer = pytest.importorskip("jiwer", reason=f"lyrics needs jiwer: {LIBRARIES.cure}")
RATE = 16_000


@pytest.fixture(scope="module")
def clip(scoring):
    """Return 33 s of real files, at the model's rate."""
    waves = [
        read_clip(scoring / "audio" / f"{name}.flac").mono().waveform for name in ("a1", "a0", "a1", "a1")
    ]
    return Clip(torch.cat(waves, dim=1), 24_000).resampled(RATE)


@pytest.fixture(scope="module")
def hear(lyrics_folder):
    """Return what transformers' own Whisper writes down of at most 30 s."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    model = WhisperForConditionalGeneration.from_pretrained(lyrics_folder).eval()
    processor = WhisperProcessor.from_pretrained(lyrics_folder)

    def write(clip):
        features = processor(clip.waveform[0].numpy(), sampling_rate=RATE, return_tensors="pt").input_features
        tokens = model.generate(features, task="transcribe", num_beams=1, do_sample=False)
        return processor.decode(tokens[0], skip_special_tokens=True)

    return write


def accuracy(folder, clip, lyrics):
    scorer = load_scorer(f"lyrics:{folder}", device="cpu")
    (found,) = scorer.score([ScoreRequest(clip, Prompt("p", "a song", lyrics))])
    return found["lyrics_accuracy"]


def test_it_is_one_minus_the_word_error_rate(lyrics_folder, clip, hear):
    short = clip.first(8.0)
    sung = hear(short)
    assert len(set(sung.split())) > 1
    assert accuracy(lyrics_folder, short, sung) == 1.0
    asked = "love in the blue night"
    expected = 1 - jiwer.wer(asked, sung.replace("'", ""))
    assert accuracy(lyrics_folder, short, asked) == pytest.approx(expected)
    assert expected < 0  # more words are heard than were asked for
    longer = f"[Verse 1]\n{sung.upper()}!\n\n[Chorus]\nhalleluja"
    words = len(sung.split())
    assert accuracy(lyrics_folder, short, longer) == pytest.approx(words / (words + 1))


def test_a_long_clip_is_heard_in_pieces(lyrics_folder, clip, hear):
    first, rest = Clip(clip.waveform[:, : 30 * RATE], RATE), Clip(clip.waveform[:, 30 * RATE :], RATE)
    assert accuracy(lyrics_folder, clip, f"{hear(first)} {hear(rest)}") == 1.0


def test_a_prompt_must_have_lyrics(lyrics_folder, clip):
    for lyrics in ("", " ", "[instrumental]", "..."):
        with pytest.raises(InputError, match="there are none"):
            accuracy(lyrics_folder, clip, lyrics)


def test_an_english_whisper_is_not_told_the_task(tmp_path, clip):
    folder = build_tiny_whisper(tmp_path / "english", multilingual=False)
    assert accuracy(folder, clip.first(3.0), "love") <= 1.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[Verse 1]\nDon't stop, (oh yeah) 99!", ["dont", "stop", "oh", "yeah", "99"]),
        ("Ｌove\u2019s caf\u00e9 - cafe\u0301", ["loves", "café", "café"]),
        ("我愛 you", ["我", "愛", "you"]),
        ("Straße", ["strasse"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("[intro]", []),
    ],
)
def test_words(text, words):
    assert words_of(text) == words
