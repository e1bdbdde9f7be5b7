"""Our loop over audiocraft's language model writes the codes that its own greedy `generate` writes."""

from pathlib import Path

import pytest
import torch

from generators.musicgen.audiocraft.generator import AudiocraftMusicGen
from generators.musicgen.audiocraft.library import attention
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.sampling import write_codes
from generators.registry import load_generator
from music.clips import Clip, write_clip
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS

FRAMES = 24


def greedy_of_audiocraft(generator: AudiocraftMusicGen, prompt: Prompt, melody: torch.Tensor | None):
    """Return codes `[1, codebooks, frames]` and their audio `[1, channels, samples]`; the melody is at 16 kHz."""
    from audiocraft.models import MusicGen

    parts = generator._parts
    # its default parameters are set first, and refuse a model that is shorter than they
    model = MusicGen("tiny", parts.codec, parts.language_model, max_duration=30.0)
    model.set_generation_params(
        use_sampling=False, duration=FRAMES / 25, cfg_coef=generator.options.guidance, extend_stride=1
    )
    with attention():
        if melody is None:
            audio, codes = model.generate([prompt.text], return_tokens=True)
        else:
            with pytest.MonkeyPatch.context() as patch:  # its resampling is stood in for
                patch.setattr("audiocraft.models.musicgen.convert_audio", lambda wave, *_: wave)
                audio, codes = model.generate_with_chroma([prompt.text], [melody], 16_000, return_tokens=True)
    return codes, audio


def greedy_of_ours(generator: AudiocraftMusicGen, prompts: list[Prompt]) -> torch.Tensor:
    pattern = DelayPattern(generator._codebooks, generator.channels, FRAMES)
    with generator._decoder(prompts, pattern.steps) as decoder:
        return pattern.align(write_codes(decoder, pattern, lambda logits: logits.argmax(-1)))


@pytest.mark.parametrize("name", ["audiocraft", "stereo_audiocraft", "melody_audiocraft"])
def test_greedy_codes_and_their_audio_equal_those_of_audiocraft(name: str, request: pytest.FixtureRequest):
    generator = load_generator(request.getfixturevalue(f"{name}_folder"), device="cpu")
    for prompt in PROMPTS[:2]:
        codes, audio = greedy_of_audiocraft(generator, prompt, None)
        found = greedy_of_ours(generator, [prompt] * 3)
        assert len(codes.unique()) > 5  # a model that says something
        for ours in found:
            assert torch.equal(ours, codes[0])
        clip = generator.decode_tokens(found[0], FRAMES / 25)
        torch.testing.assert_close(clip.waveform, audio[0], atol=1e-6, rtol=1e-5)


def test_a_melody_is_heard_as_audiocraft_hears_it(melody_audiocraft_folder: Path, tmp_path: Path):
    generator = load_generator(melody_audiocraft_folder, device="cpu", guidance=2.0)
    times = torch.arange(32_000) / 16_000
    melody = (0.5 * torch.sin(2 * torch.pi * 440 * times * (1 + times.floor()))).float()[None]
    write_clip(tmp_path / "melody.flac", Clip(melody, 16_000))
    prompt = Prompt("tune", "slow jazz", reference=tmp_path / "melody.flac")
    codes, _ = greedy_of_audiocraft(generator, prompt, melody)
    assert torch.equal(greedy_of_ours(generator, [prompt])[0], codes[0])
    without, _ = greedy_of_audiocraft(generator, prompt, None)
    assert not torch.equal(codes, without)
