"""What every backend promises: a candidate depends on its prompt and seed, not on what is made beside it.

Bitwise, tokens and audio; and clips of the length asked for, that their tokens decode to.
"""

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from generators import fill_pool
from generators.protocol import Job, Sample
from generators.registry import load_generator
from music.devices import threads_of_torch
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.prompts import Prompt
from tests.generators.conftest import PROMPTS, Model
from tests.generators.filling import fill
from tests.music.folder_state import contents

SECONDS = 0.6


def make(generator, jobs: Sequence[Job]) -> dict[tuple[str, int], Sample]:
    return {(s.job.prompt.id, s.job.candidate): s for s in generator.generate(jobs, SECONDS)}


def assert_same(found: dict, expected: dict) -> None:
    for key, sample in found.items():
        assert torch.equal(sample.tokens, expected[key].tokens), key
        assert torch.equal(sample.clip.waveform, expected[key].clip.waveform), key


@pytest.mark.parametrize(("batch_size", "guidance"), [(4, 3.0), (8, 1.0)])
def test_samples_do_not_depend_on_their_neighbours(
    model: Model, jobs: list[Job], batch_size: int, guidance: float
):
    generator = model.load(batch_size=batch_size, guidance=guidance)
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


def test_batches_hold_every_job_once_and_prompts_together(model: Model, jobs: list[Job]):
    generator = model.load(batch_size=4)
    batches = generator.batches(jobs, SECONDS)
    assert sorted(id(job) for batch in batches for job in batch) == sorted(map(id, jobs))
    assert len(batches) <= 2 + len(PROMPTS)  # nine jobs, perhaps each prompt of another kind
    for prompt in PROMPTS:
        assert sum(job.prompt is prompt for batch in batches for job in batch) == 3
        assert sum(any(job.prompt is prompt for job in batch) for batch in batches) <= 2
    for batch in batches:
        assert [sample.job for sample in generator.generate(batch, SECONDS)] == batch
    with pytest.raises(InputError, match="--seconds must be"):
        generator.batches(jobs, -1.0)


def test_a_fresh_generator_makes_the_same(small_model: Model, jobs: list[Job]):
    assert_same(make(small_model.load(), jobs[:4]), make(small_model.load(), jobs[:4]))


def test_bfloat16_does_not_depend_on_neighbours_either(small_model: Model, jobs: list[Job]):
    generator = small_model.load(dtype="bfloat16", batch_size=5)
    together = make(generator, jobs)
    assert_same(make(generator, jobs[::-1]), together)
    assert_same(make(generator, jobs[2:3]), together)
    clip = together["piano", 0].clip
    assert clip.waveform.dtype == torch.float32
    assert clip.waveform.isfinite().all()


def test_torchs_own_random_stream_is_neither_used_nor_moved(small_model: Model, jobs: list[Job]):
    generator = small_model.load()
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = make(generator, jobs[:1])
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same(make(generator, jobs[:1]), first)


def test_nothing_is_printed(
    small_model: Model, jobs: list[Job], capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
):
    make(small_model.load(), jobs[:1])
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


def modules_of(generator) -> list[torch.nn.Module]:
    found = getattr(generator, "_model", None) or generator._parts
    parts = [found] if isinstance(found, torch.nn.Module) else vars(found).values()
    return [part for part in parts if isinstance(part, torch.nn.Module)]


def test_a_model_that_computes_nan_is_an_error_not_noise(small_model: Model, jobs: list[Job]):
    generator = small_model.load()
    for module in modules_of(generator):
        for weight in module.parameters():
            weight.data.fill_(torch.nan)
    with pytest.raises(InputError, match="computes NaN"):
        make(generator, jobs[:1])


def test_all_bits_of_a_seed_matter_and_candidates_of_one_seed_are_equal(small_model: Model):
    seeds = (5, 5 + 2**40, 5)
    made = make(small_model.load(), [Job(PROMPTS[0], i, seed) for i, seed in enumerate(seeds)])
    assert torch.equal(made["piano", 0].tokens, made["piano", 2].tokens)
    assert not torch.equal(made["piano", 0].tokens, made["piano", 1].tokens)


def test_the_text_matters(small_model: Model):
    made = make(small_model.load(), [Job(prompt, 0, 5) for prompt in PROMPTS])
    assert not torch.equal(made["piano", 0].tokens, made["jazz", 0].tokens)
    assert not torch.equal(made["folk", 0].tokens, made["jazz", 0].tokens)


def test_every_option_changes_the_tokens_and_the_spec(small_model: Model):
    usual, job = small_model.load(), Job(PROMPTS[0], 0, 5)
    assert json.loads(json.dumps(usual.spec)) == usual.spec
    assert {"weights", "backend", "versions", "device", "dtype", "batch_size", "sampler"} <= usual.spec.keys()
    tokens = make(usual, [job])["piano", 0].tokens
    for option, value in small_model.changes.items():
        other = small_model.load(**{option: value})
        assert other.spec == {**usual.spec, option: value}
        assert not torch.equal(make(other, [job])["piano", 0].tokens, tokens), option


def test_length_is_exact_and_tokens_decode_to_the_same_clip(model: Model):
    generator = model.load(batch_size=2)
    for seconds in (0.01, 0.33337, 1.0, 0.7):
        (sample,) = generator.generate([Job(PROMPTS[1], 0, 3)], seconds)
        assert sample.clip.waveform.shape == (generator.channels, round(seconds * generator.sample_rate))
        assert sample.clip.sample_rate == generator.sample_rate
        assert sample.clip.waveform.isfinite().all()
        assert sample.tokens.device.type == "cpu"
        assert not sample.tokens.is_inference()
        assert not sample.clip.waveform.is_inference()
        again = generator.decode_tokens(sample.tokens, seconds)
        assert torch.equal(again.waveform, sample.clip.waveform)


def test_an_impossible_length_is_refused_before_anything_is_made(small_model: Model):
    generator = small_model.load()
    for seconds in (0, -1.0, float("nan"), float("inf"), 1e-9, 1e4):
        with pytest.raises(InputError, match="--seconds must be"):
            generator.generate([Job(PROMPTS[0], 0, 3)], seconds)


def test_a_text_that_is_too_long_is_refused_before_anything_is_made(small_model: Model, tmp_path: Path):
    generator, pool = small_model.load(), Pool(tmp_path / "pool", create=True)
    prompts = [PROMPTS[0], Prompt("epic", "x" * 600)]
    with pytest.raises(InputError, match=r"prompt 'epic': its text has 6\d\d tokens.* at most \d+"):
        fill_pool(generator, prompts, 1, 0.5, pool, 1, Processes({}))
    assert not (tmp_path / "pool").exists()


def test_the_tokens_in_the_pool_decode_to_the_audio_in_the_pool(small_model: Model, tmp_path: Path):
    generator, pool = small_model.load(), Pool(tmp_path, create=True)
    fill_pool(generator, PROMPTS[:2], 2, 0.4, pool, 1, Processes({}))
    for candidate in pool:
        decoded = generator.decode_tokens(pool.tokens(candidate), candidate.seconds)
        on_disk = pool.clip(candidate).waveform
        torch.testing.assert_close(decoded.waveform * candidate.gain, on_disk, atol=2**-22, rtol=0)  # 24 bit


def test_a_killed_run_that_goes_on_gives_the_bytes_of_one_that_was_not(small_model: Model, tmp_path: Path):
    with threads_of_torch(1):  # a fork has none of its parent's threads, for which OpenMP would wait
        assert fill(small_model.folder, tmp_path / "whole", Processes({})) == 9
        child = os.fork()
        if child == 0:
            try:
                fill(small_model.folder, tmp_path / "killed", Processes({}), die_at=4)
            finally:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        assert len(Pool(tmp_path / "killed")) == 3
        assert fill(small_model.folder, tmp_path / "killed", Processes({})) == 6
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_backend_of_a_folder_is_known_by_what_lies_in_it(small_model: Model):
    generator = load_generator(small_model.folder, device="cpu")
    assert generator.spec["backend"] == small_model.backend
