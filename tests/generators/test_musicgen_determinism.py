"""A candidate depends on its prompt and seed, not on what is made beside it: bitwise, tokens and audio."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from generators.musicgen import MusicGen
from generators.protocol import Job, Sample
from generators.registry import load_generator
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS

SECONDS = 0.6


def make(generator: MusicGen, jobs: Sequence[Job]) -> dict[tuple[str, int], Sample]:
    return {(s.job.prompt.id, s.job.candidate): s for s in generator.generate(jobs, SECONDS)}


def assert_same(found: dict, expected: dict) -> None:
    for key, sample in found.items():
        assert torch.equal(sample.tokens, expected[key].tokens), key
        assert torch.equal(sample.clip.waveform, expected[key].clip.waveform), key


@pytest.mark.parametrize(("batch_size", "guidance"), [(4, 3.0), (3, 1.0), (8, 2.0)])
def test_samples_do_not_depend_on_their_neighbours(
    folder: Path, jobs: list[Job], batch_size: int, guidance: float
):
    generator = load_generator(folder, device="cpu", batch_size=batch_size, guidance=guidance)
    together = make(generator, jobs)
    assert len(together) == len(jobs)
    assert len({sample.tokens.numpy().tobytes() for sample in together.values()}) == len(jobs)
    assert len({sample.clip.waveform.numpy().tobytes() for sample in together.values()}) == len(jobs)

    assert_same(make(generator, jobs[::-1]), together)
    assert_same(make(generator, jobs[1::2]), together)
    for job in jobs[::4]:
        assert_same(make(generator, [job]), together)
    # the same padded length, but other texts beside it
    strangers = [Job(Prompt(f"s{i}", "techno" + "!" * i), 0, i) for i in range(5)]
    mixed = make(generator, [strangers[0], jobs[1], *strangers[1:], jobs[0]])
    assert_same({key: mixed[key] for key in [("piano", 0), ("piano", 1)]}, together)


def test_a_fresh_generator_makes_the_same(mono_folder: Path, jobs: list[Job]):
    first = make(load_generator(mono_folder, device="cpu", batch_size=4), jobs[:4])
    assert_same(make(load_generator(mono_folder, device="cpu", batch_size=4), jobs[:4]), first)


def test_bfloat16_does_not_depend_on_neighbours_either(mono_folder: Path, jobs: list[Job]):
    generator = load_generator(mono_folder, device="cpu", dtype="bfloat16", batch_size=5)
    together = make(generator, jobs)
    assert_same(make(generator, jobs[::-1]), together)
    assert_same(make(generator, jobs[2:3]), together)
    clip = together["piano", 0].clip
    assert clip.waveform.dtype == torch.float32
    assert clip.waveform.isfinite().all()


def test_torchs_own_random_stream_is_neither_used_nor_moved(mono, jobs: list[Job]):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = make(mono, jobs[:1])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same(make(mono, jobs[:1]), first)


def test_the_seed_matters_and_candidates_of_one_seed_are_equal(mono):
    made = make(mono, [Job(PROMPTS[0], 0, 5), Job(PROMPTS[0], 1, 6), Job(PROMPTS[0], 2, 5)])
    assert torch.equal(made["piano", 0].tokens, made["piano", 2].tokens)
    assert not torch.equal(made["piano", 0].tokens, made["piano", 1].tokens)


@pytest.mark.parametrize(("option", "value"), [("guidance", 1.0), ("temperature", 0.5), ("top_k", 2)])
def test_every_option_changes_the_tokens_and_the_spec(mono, mono_folder: Path, option: str, value: float):
    other = load_generator(mono_folder, device="cpu", batch_size=4, **{option: value})
    assert other.spec == {**mono.spec, option: value}
    job = Job(PROMPTS[0], 0, 5)
    assert not torch.equal(make(other, [job])["piano", 0].tokens, make(mono, [job])["piano", 0].tokens)
