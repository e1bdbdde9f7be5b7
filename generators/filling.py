"""Fill a pool with candidates: make what is missing, each process as much as it can, and write it meanwhile.

Prompts that ask for more than a generator looks at are refused, or warned of.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm

from generators.protocol import Generator, Job, samples_of
from music.errors import InputError
from music.pool import Pool
from music.pool_writer import BackgroundWriter
from music.processes import Processes
from music.progress import progress
from music.prompts import Prompt

_PARTS = ("lyrics", "reference")
_QUIET = 1.0  # s; a job that is done sooner shows no progress


def refuse_unsupported(generator: Generator, prompts: Sequence[Prompt], has_options: bool = True) -> None:
    """`InputError` for the first prompt with a part that the generator does not accept.

    Parameters
    ----------
    generator, prompts
        Generator, and prompts for it.
    has_options
        Whether the command has the options that cure it, those of `music.options.Generation`.
    """
    for prompt in prompts:
        for part in _PARTS:
            if getattr(prompt, part) and part not in generator.accepts:
                article = "a " if part == "reference" else ""
                cure = f"or leave {part} out of the prompts"
                if has_options:
                    follow = "let a MusicGen go on from it by --continuation S, " if article else ""
                    cure = f"{follow}or go on without it by --ignore_unsupported true"
                raise InputError(
                    f"prompt {prompt.id!r} has {article}{part}, which {generator.name} does not look at: choose "
                    f"another generator (python -m generators list), {cure}"
                )


def refuse_prompts(
    generator: Generator, prompts: Sequence[Prompt], seconds: float, ignore_unsupported: bool | None = None
) -> None:
    """Refuse clips that a generator could not make, before any work.

    Parameters
    ----------
    generator, prompts, seconds, ignore_unsupported
        See `fill_pool`.

    Raises
    ------
    InputError
        If the generator makes no clips of this length, or for the first prompt that is not for it.
    """
    samples_of(seconds, generator)
    if not ignore_unsupported:
        refuse_unsupported(generator, prompts, has_options=ignore_unsupported is not None)
    generator.batches([Job(prompt, 0, 0) for prompt in prompts], seconds)


def warn_of_unsupported(generator: Generator, prompts: Sequence[Prompt]) -> None:
    """Say on stderr, a line each, which parts of the prompts the generator does not look at."""
    for part in _PARTS:
        count = sum(bool(getattr(prompt, part)) for prompt in prompts)
        if count and part not in generator.accepts:
            prompts_have = "1 prompt has" if count == 1 else f"{count} prompts have"
            message = f"warning: {generator.name} does not look at {part}, which {prompts_have}"
            tqdm.write(message, file=sys.stderr)


def pool_spec(generator: Generator, seconds: float) -> dict[str, Any]:
    """Return everything but prompt and seed that decides the audio, as pools record it."""
    return {**generator.spec, "seconds": float(seconds)}


def fill_pool(
    generator: Generator,
    prompts: Sequence[Prompt],
    n: int,
    seconds: float,
    pool: Pool,
    seed: int,
    processes: Processes,
    ignore_unsupported: bool | None = None,
) -> int:
    """Make the candidates that a pool lacks.

    Every process must call it, with the same arguments. Whoever is free takes the next batch. On return the pool
    of every process holds all candidates. It can be stopped at any moment; the next call makes what is missing.

    Parameters
    ----------
    generator
        Generator that makes them.
    prompts, n
        Prompts, of each of which candidates 0 to n-1 are wanted.
    seconds
        Length of each clip, s.
    pool
        Pool that is filled.
    seed
        Seed of the run.
    processes
        Processes that share the work.
    ignore_unsupported
        Whether to go on, with a warning, if a prompt has lyrics or a reference that the generator does not look at;
        None, which does not, where the command lacks the option.

    Returns
    -------
    int
        Number of candidates that this process made.

    Raises
    ------
    InputError
        If n or seconds is out of range, a prompt is not for this generator or asks for what it does not look at,
        or the pool was made otherwise; what the pool holds stays as it is.
    """
    if n < 1:
        raise InputError(f"--n must be at least 1, got {n}")
    samples_of(seconds, generator)
    if not ignore_unsupported:
        refuse_unsupported(generator, prompts, has_options=ignore_unsupported is not None)
    missing = pool.missing(prompts, n, seed, pool_spec(generator, seconds), processes)
    if processes.is_main:
        warn_of_unsupported(generator, prompts)
    return make_missing(generator, missing, seconds, pool, processes, len(prompts) * n)


def make_missing(
    generator: Generator,
    missing: Sequence[tuple[Prompt, int, int]],
    seconds: float,
    pool: Pool,
    processes: Processes,
    wanted: int,
) -> int:
    """Make candidates that a pool lacks; see `fill_pool`.

    Parameters
    ----------
    generator, seconds, pool, processes
        See `fill_pool`.
    missing
        Prompt, index and seed of each, as `Pool.missing` gives them.
    wanted
        Number of candidates that the caller wants, those that are there included.

    Returns
    -------
    int
        Number of candidates that this process made.

    Raises
    ------
    InputError
        If a prompt is not for this generator, or the disk is full.
    """
    spec = pool_spec(generator, seconds)
    jobs = [Job(*one) for one in missing]
    batches = generator.batches(jobs, seconds)
    made = 0
    there, done = wanted - len(jobs), processes.count()
    with _progress(generator.name, there, wanted, processes) as bar:
        with (
            merged_if_stopped(pool, processes),
            pool.writer(generator.name, spec, processes.rank) as writer,
            BackgroundWriter(writer) as background,
        ):
            for batch in processes.claim(batches):
                for sample in generator.make(batch, seconds):
                    job = sample.job
                    background.add(
                        job.prompt, job.candidate, job.seed, sample.clip, sample.tokens, sample.origin
                    )
                    made += 1
                    bar.update(there + done.add(1) - bar.n)
        processes.barrier()
        bar.update(wanted - bar.n)  # what the others have made since
    if processes.is_main:
        pool.merge()
    processes.barrier()
    pool.reload()
    return made


@contextmanager
def merged_if_stopped(pool: Pool, processes: Processes) -> Iterator[None]:
    """Let what was made lie in the pool's one list even if the making is stopped, unless other processes go on."""
    try:
        yield
    except BaseException:
        if processes.world_size == 1:
            with suppress(InputError):
                pool.merge()
        raise


def _progress(name: str, there: int, wanted: int, processes: Processes) -> "tqdm[Any]":
    """Return a bar of the clips of all processes, those found in the pool included, on the main one's terminal.

    Clips come in bursts, a batch at a time: rate and time left are over all that was made.
    """
    return progress(
        total=wanted,
        initial=there,
        desc=name,
        unit="clip",
        smoothing=0,
        miniters=1,
        delay=_QUIET,
        disable=not processes.is_main,
    )
