"""MusicGen Melody: our loop writes what transformers' greedy `generate` writes, and the reference decides."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from generators.filling import refuse_unsupported
from generators.musicgen.conditioning import MelodyConditioner
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.incremental_decoder import PrefixedDecoder
from generators.musicgen.loading import load_chroma, load_model
from generators.musicgen.sampling import write_codes
from generators.protocol import Job
from generators.registry import load_generator
from music.errors import InputError
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS
from tests.generators.test_contract import assert_same, make
from tests.generators.test_musicgen_reference import FRAMES, greedy_of_transformers

RATE = 16_000


def write_tones(path: Path, *frequencies: float, seconds: float = 1.5, rate: int = RATE) -> Path:
    """Write tones of equal length one after the other."""
    time = np.arange(round(seconds * rate / len(frequencies))) / rate
    tones = [np.sin(2 * np.pi * frequency * time) for frequency in frequencies]
    soundfile.write(path, 0.5 * np.concatenate(tones), rate)
    return path


@pytest.fixture(scope="module")
def tune(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tunes") / "tune.wav", 440, 523.25, 659.26)


@pytest.fixture(scope="module", params=["melody", "stereo_melody"])
def either_folder(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(f"{request.param}_folder")


@pytest.mark.parametrize("guidance", [1.0, 3.0])
@pytest.mark.parametrize("with_tune", [True, False])
def test_greedy_codes_equal_those_of_transformers(
    either_folder: Path, tune: Path, guidance: float, with_tune: bool, monkeypatch: pytest.MonkeyPatch
):
    model, tokenizer = load_model(either_folder, torch.device("cpu"), torch.float32)
    decoder, chroma = model.config.decoder, load_chroma(either_folder)
    inputs = dict(tokenizer(PROMPTS[2].text, return_tensors="pt"))
    if with_tune:
        audio, rate = soundfile.read(tune, dtype="float32")
        inputs |= chroma(audio, sampling_rate=rate, return_tensors="pt")
    pattern = DelayPattern(decoder.num_codebooks, decoder.audio_channels, FRAMES)
    # with its cache, transformers 5.15 drops text and melody
    expected = greedy_of_transformers(model, monkeypatch, guidance, pattern.steps, **inputs, use_cache=False)

    # in a batch beside others, with more room than the text needs
    prompts = [Prompt(p.id, p.text, reference=tune if with_tune else None) for p in PROMPTS]
    prefix = MelodyConditioner(model, tokenizer, chroma, guidance > 1).batch(prompts, length=96)
    reader = PrefixedDecoder(model.decoder, prefix, pattern.steps, guidance)
    found = pattern.align(write_codes(reader, pattern, lambda logits: logits.argmax(-1)))
    assert torch.equal(found[2:], expected)


def test_the_melody_decides_and_one_at_another_rate_is_the_same(melody_folder: Path, tmp_path: Path):
    generator = load_generator(melody_folder, device="cpu", batch_size=4)
    assert generator.accepts == {"text", "reference"}
    files = {
        "low": write_tones(tmp_path / "low.wav", 220, 261.63),
        "other": write_tones(tmp_path / "other.wav", 311.13, 369.99),
        "again": write_tones(tmp_path / "again.wav", 220, 261.63, rate=44_100),
    }
    prompts = {key: Prompt(key, "sad piano", reference=file) for key, file in files.items()}
    prompts["none"] = Prompt("none", "sad piano")
    refuse_unsupported(generator, list(prompts.values()))
    made = make(generator, [Job(prompt, 0, 5) for prompt in prompts.values()])
    tokens = {key: made[key, 0].tokens for key in prompts}
    assert torch.equal(tokens["low"], tokens["again"])
    assert len({tokens[key].numpy().tobytes() for key in ("low", "other", "none")}) == 3


def test_candidates_do_not_depend_on_the_melodies_beside_them(
    melody_folder: Path, tune: Path, tmp_path: Path
):
    generator = load_generator(melody_folder, device="cpu", batch_size=4)
    other = write_tones(tmp_path / "other.wav", 311.13, seconds=0.05)  # shorter than a window of the chroma
    prompts = [
        Prompt("a", "sad piano", reference=tune),
        Prompt("b", "sad piano", reference=other),
        Prompt("c", "polka"),
    ]
    jobs = [Job(prompt, index, 7 + index) for prompt in prompts for index in range(2)]
    together = make(generator, jobs)
    assert_same(make(generator, jobs[::-1]), together)
    for job in jobs[::2]:
        assert_same(make(generator, [job]), together)


def test_how_chroma_is_made_is_part_of_the_weights_hash(melody_folder: Path, tmp_path: Path):
    import shutil

    before = load_generator(melody_folder, device="cpu").spec["weights"]
    copy = Path(shutil.copytree(melody_folder, tmp_path / "copy"))
    config = copy / "preprocessor_config.json"
    config.write_text(config.read_text().replace('"hop_length": 512', '"hop_length": 256'))
    assert load_generator(copy, device="cpu").spec["weights"] != before
    config.unlink()
    with pytest.raises(InputError, match=r"preprocessor_config\.json cannot be loaded"):
        load_generator(copy, device="cpu")


def test_a_melody_model_refuses_a_continuation_before_it_is_loaded(melody_folder: Path, tmp_path: Path):
    (tmp_path / "config.json").write_bytes((melody_folder / "config.json").read_bytes())
    with pytest.raises(InputError, match="takes references as melodies, it has no option 'continuation'"):
        load_generator(tmp_path, device="cpu", continuation=1.0)


def test_a_reference_that_is_no_audio_is_refused_before_anything_is_made(melody_folder: Path, tmp_path: Path):
    (tmp_path / "text.wav").write_text("not audio")
    texts = [Prompt("a", "sad piano", reference=tmp_path / "text.wav"), Prompt("b", "sad piano")]
    generator = load_generator(melody_folder, device="cpu")
    for prompts in (texts, texts[::-1]):
        with pytest.raises(InputError, match=r"text\.wav cannot be read"):
            generator.batches([Job(prompt, 0, 3) for prompt in prompts], 0.5)


def test_a_sequence_beyond_the_table_of_positions_goes_on_by_the_same_formula(melody_folder: Path):
    from generators.musicgen.conditioning import position_states

    model, _ = load_model(melody_folder, torch.device("cpu"), torch.float32)
    decoder = model.decoder.model.decoder
    assert torch.equal(position_states(decoder, 600)[:512], position_states(decoder, 512))
    assert position_states(decoder, 600).shape == (600, 32)
