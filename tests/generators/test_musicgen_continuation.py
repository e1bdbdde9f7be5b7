"""MusicGen goes on from the beginning of a reference: as transformers does, and the clip begins with it."""

from pathlib import Path

import pytest
import soundfile
import torch

from generators.filling import refuse_unsupported
from generators.musicgen.conditioning import TextConditioner
from generators.musicgen.continuation import Continuation
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.incremental_decoder import IncrementalDecoder
from generators.musicgen.loading import load_model
from generators.musicgen.sampling import write_codes
from generators.protocol import Job
from generators.registry import load_generator
from music.errors import InputError
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS
from tests.generators.noise_file import write_noise
from tests.generators.test_contract import assert_same, make
from tests.generators.test_musicgen_reference import FRAMES, greedy_of_transformers


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("references") / "noise.wav", 1)


@pytest.mark.parametrize("name", ["mono", "stereo"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_greedy_codes_equal_those_of_transformers(
    name: str,
    guidance: float,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    folder = request.getfixturevalue(f"{name}_folder")
    model, tokenizer = load_model(folder, torch.device("cpu"), torch.float32)
    decoder, prompt_frames = model.config.decoder, 7
    file = write_noise(tmp_path / "clip.wav", 3, channels=decoder.audio_channels)
    audio = soundfile.read(file, dtype="float32", always_2d=True)[0][: prompt_frames * 640]
    pattern = DelayPattern(decoder.num_codebooks, decoder.audio_channels, FRAMES)
    inputs = tokenizer(PROMPTS[1].text, return_tensors="pt")
    inputs["input_values"] = torch.from_numpy(audio.T.copy())[None]
    steps = pattern.steps - prompt_frames
    expected = greedy_of_transformers(model, monkeypatch, guidance, steps, **inputs)

    prompt = Prompt("a", PROMPTS[1].text, reference=file)
    beginnings = Continuation(
        model.audio_encoder, prompt_frames * 0.04, decoder.audio_channels, decoder.num_codebooks, 640
    )
    given = beginnings.codes([prompt], FRAMES)
    text = TextConditioner(model, tokenizer).batch([prompt], length=32)
    reader = IncrementalDecoder(model.decoder, text, pattern.steps, guidance)
    found = pattern.align(write_codes(reader, pattern, lambda logits: logits.argmax(-1), given))
    assert torch.equal(found, expected)
    assert torch.equal(found[:, :, :prompt_frames], given[:, :, :prompt_frames])


def test_a_clip_begins_with_the_reference_as_the_codec_renders_it(folder: Path, reference: Path):
    generator = load_generator(folder, device="cpu", batch_size=2, continuation=0.24)
    assert generator.accepts == {"text", "reference"}
    assert generator.spec["continuation"] == 0.24
    prompt = Prompt("a", "sad piano", reference=reference)
    refuse_unsupported(generator, [prompt])
    one, other = generator.generate([Job(prompt, 0, 1), Job(prompt, 1, 2)], 0.8)
    frames = generator._beginnings.frames
    assert frames == (8 if generator.sample_rate == 4_000 else 6)
    given = generator._beginnings.codes([prompt], 30)[0, :, :frames]
    assert torch.equal(one.tokens[:, :frames].long(), given)
    assert torch.equal(other.tokens[:, :frames].long(), given)
    assert len(given.unique()) > 2
    assert not torch.equal(one.tokens, other.tokens)
    assert one.clip.samples == round(0.8 * generator.sample_rate)
    assert torch.equal(generator.decode_tokens(one.tokens, 0.8).waveform, one.clip.waveform)


def test_candidates_do_not_depend_on_what_is_continued_beside_them(
    stereo_folder: Path, mono_folder: Path, reference: Path, tmp_path: Path
):
    mono = write_noise(tmp_path / "mono.flac.wav", 2, rate=22_050, channels=1)
    for folder in (stereo_folder, mono_folder):
        generator = load_generator(folder, device="cpu", batch_size=4, continuation=0.2)
        prompts = [
            Prompt("a", "sad piano", reference=reference),
            Prompt("b", "sad piano", reference=mono),
            Prompt("c", "sad piano"),
        ]
        jobs = [Job(prompt, index, 7 + index) for prompt in prompts for index in range(2)]
        together = make(generator, jobs)
        assert_same(make(generator, jobs[::-1]), together)
        for job in jobs[::2]:
            assert_same(make(generator, [job]), together)
        without = load_generator(folder, device="cpu", batch_size=4)
        assert_same(make(without, jobs[4:]), {key: together[key] for key in together if key[0] == "c"})


def test_without_the_option_a_reference_is_refused_and_nothing_new_is_in_the_spec(mono, reference: Path):
    assert "continuation" not in mono.spec
    with pytest.raises(InputError, match=r"has a reference, which .* does not look at"):
        refuse_unsupported(mono, [Prompt("a", "sad piano", reference=reference)])


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_an_impossible_beginning_is_refused_before_the_model_is_looked_for(seconds: float):
    with pytest.raises(InputError, match="continuation must be above 0 s"):
        load_generator("no-such-model", continuation=seconds)


def test_what_leaves_nothing_to_make_or_is_too_short_is_refused(
    mono_folder: Path, reference: Path, tmp_path: Path
):
    generator = load_generator(mono_folder, device="cpu", continuation=0.4)
    job = Job(Prompt("a", "sad piano", reference=reference), 0, 1)
    with pytest.raises(InputError, match=r"--seconds must be above the 0\.4 s of --continuation.* got 0\.4"):
        generator.generate([job], 0.4)
    short = Job(Prompt("b", "x", reference=write_noise(tmp_path / "short.wav", 5, seconds=0.3)), 0, 1)
    with pytest.raises(
        InputError, match=r"prompt 'b': its reference .*short\.wav lasts 0\.3 s, too short .* 0\.4 s"
    ):
        generator.generate([job, short], 0.8)
