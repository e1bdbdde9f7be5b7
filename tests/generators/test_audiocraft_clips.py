"""What comes out of audiocraft's MusicGen, and what it is told of a prompt."""

from pathlib import Path

import pytest
import torch

from generators.filling import refuse_unsupported
from generators.musicgen.audiocraft.library import import_audiocraft
from generators.protocol import Job
from generators.registry import load_generator
from music.clips import Clip, write_clip
from music.errors import InputError
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS


@pytest.fixture
def melodies(tmp_path: Path) -> list[Prompt]:
    """Two prompts of one text and different melodies, and one without (which sounds like C to the model)."""
    prompts = [Prompt("plain", "slow jazz")]
    for index, pitch in enumerate((293.7, 392.0)):
        path = tmp_path / f"{index}.flac"
        write_clip(path, Clip(0.5 * torch.sin(torch.arange(44_100)[None] / 44_100 * 6.2832 * pitch), 44_100))
        prompts.append(Prompt(f"tune-{index}", "slow jazz", reference=path))
    return prompts


def test_melodies_matter_and_do_not_depend_on_those_beside_them(
    melody_audiocraft_folder: Path, melodies: list[Prompt]
):
    generator = load_generator(melody_audiocraft_folder, device="cpu", batch_size=4)
    assert generator.accepts == {"text", "reference"}
    together = {s.job.prompt.id: s for s in generator.generate([Job(p, 0, 3) for p in melodies], 0.5)}
    tokens = [sample.tokens for sample in together.values()]
    assert not torch.equal(tokens[0], tokens[1])
    assert not torch.equal(tokens[1], tokens[2])
    for prompt in melodies:
        (alone,) = generator.generate([Job(prompt, 0, 3)], 0.5)
        assert torch.equal(alone.tokens, together[prompt.id].tokens)


def test_a_melody_that_cannot_be_read_is_refused_before_anything_is_made(
    melody_audiocraft_folder: Path, tmp_path: Path
):
    generator = load_generator(melody_audiocraft_folder, device="cpu")
    gone = Prompt("tune", "slow jazz", reference=tmp_path / "gone.flac")
    with pytest.raises(InputError, match=r"gone\.flac does not exist"):
        generator.generate([Job(PROMPTS[0], 0, 3), Job(gone, 0, 3)], 0.5)


def test_a_model_without_melodies_does_not_look_at_them(audiocraft_folder: Path, melodies: list[Prompt]):
    generator = load_generator(audiocraft_folder, device="cpu", batch_size=2)
    assert generator.accepts == {"text"}
    with pytest.raises(InputError, match=r"has a reference, which .* does not look at"):
        refuse_unsupported(generator, melodies)
    first, second = generator.generate([Job(melodies[0], 0, 3), Job(melodies[1], 0, 3)], 0.5)
    assert torch.equal(first.tokens, second.tokens)


def test_texts_of_different_lengths_are_never_in_one_batch(audiocraft_folder: Path, jobs: list[Job]):
    generator = load_generator(audiocraft_folder, device="cpu", batch_size=16)
    assert [{job.prompt.id for job in batch} for batch in generator.batches(jobs, 0.5)] == [
        {"piano"}, {"jazz"}, {"folk"}
    ]  # fmt: skip


def test_left_and_right_are_decoded_from_their_own_codebooks(stereo_audiocraft_folder: Path):
    generator = load_generator(stereo_audiocraft_folder, device="cpu", batch_size=1)
    (sample,) = generator.generate([Job(PROMPTS[0], 0, 3)], 0.5)
    left, right = sample.clip.waveform
    assert not torch.equal(left, right)
    swapped = sample.tokens.view(4, 2, -1).flip(1).reshape(8, -1)
    assert torch.equal(generator.decode_tokens(swapped, 0.5).waveform, torch.stack([right, left]))


def test_a_codec_that_is_only_named_is_found(named_audiocraft_folder: Path):
    generator = load_generator(named_audiocraft_folder, device="cpu", batch_size=1)
    (sample,) = generator.generate([Job(PROMPTS[0], 0, 3)], 0.33)
    assert sample.clip.waveform.shape == (1, 5280)
    assert torch.equal(generator.decode_tokens(sample.tokens, 0.33).waveform, sample.clip.waveform)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (torch.zeros(3, 25), "have shape"),
        (torch.zeros(4, 24), "have shape"),
        (torch.full((4, 25), 64), "lie in 0 to 63"),
    ],
)
def test_foreign_tokens_are_refused(audiocraft_folder: Path, tokens: torch.Tensor, message: str):
    with pytest.raises(InputError, match=message):
        load_generator(audiocraft_folder, device="cpu").decode_tokens(tokens.to(torch.int16), 1.0)


def test_the_chroma_filters_are_those_of_librosa():
    librosa = pytest.importorskip("librosa", reason="librosa is not installed")
    import_audiocraft()
    from generators.musicgen.audiocraft.library import _chroma_filters

    found = _chroma_filters(sr=32_000, n_fft=4096, tuning=0, n_chroma=12)
    expected = librosa.filters.chroma(sr=32_000, n_fft=4096, tuning=0, n_chroma=12)
    torch.testing.assert_close(torch.from_numpy(found), torch.from_numpy(expected), atol=1e-6, rtol=1e-5)


def test_a_melody_that_changed_under_its_name_is_heard_anew(
    melody_audiocraft_folder: Path, melodies: list[Prompt]
):
    generator = load_generator(melody_audiocraft_folder, device="cpu", batch_size=1)
    one, other = melodies[1:]
    (before,) = generator.generate([Job(one, 0, 3)], 0.5)
    (wanted,) = generator.generate([Job(other, 0, 3)], 0.5)
    one.reference.write_bytes(other.reference.read_bytes())
    (after,) = generator.generate([Job(one, 0, 3)], 0.5)
    assert not torch.equal(after.tokens, before.tokens)
    assert torch.equal(after.tokens, wanted.tokens)
