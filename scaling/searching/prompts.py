"""Search all prompts of a run: chunk by chunk, each process as many as it can, and write what is found of each."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from generators.filling import merged_if_stopped
from music.pool import Pool
from music.processes import Processes
from music.progress import progress
from music.prompts import Prompt
from scaling.methods.protocol import PromptMethod
from scaling.searching.trail import Searched, Trail
from scaling.searching.workshop import Result, Workshop, chunks

_CHUNKS = 2  # times as many prompts as fill a batch with their fewest candidates, at most


def search_prompts(
    method: PromptMethod,
    workshop: Workshop,
    prompts: Sequence[Prompt],
    pool: Pool,
    spec: Mapping[str, Any],
    trail: Trail,
    processes: Processes,
    at_once: int,
) -> None:
    """Search the prompts that were not searched yet.

    Every process must call it, with the same arguments; whoever is free takes the next chunk. On return pool and trail
    of every process hold what all have found. It can be stopped at any moment: the next call searches what is left, and
    what is found is the same to the bit.

    Parameters
    ----------
    method
        How they are searched.
    workshop
        Who does the work.
    prompts
        The prompts.
    pool
        Pool for the finished candidates.
    spec
        Everything but prompt and seed that decides them.
    trail
        What is kept of the search.
    processes
        Processes that share the work.
    at_once
        Number of prompts that are searched side by side.

    Raises
    ------
    InputError
        If the pool was made otherwise, a clip cannot be scored, or the disk is full.
    """
    bench = workshop.bench
    pool.missing(prompts, method.n, bench.seed, spec, processes)  # refuses the pool of another run
    known = {candidate.key for candidate in pool}
    left = [prompt for prompt in prompts if not _is_searched(prompt, trail, known)]
    processes.agree({"prompts that are not searched yet": [prompt.id for prompt in left]})
    there, done = len(prompts) - len(left), processes.count()
    bar = progress(
        total=len(prompts),
        initial=there,
        desc=f"search ({bench.generator.name})",
        unit="prompt",
        smoothing=0,
        miniters=1,
        disable=not processes.is_main,
    )
    with bar:
        with (
            merged_if_stopped(pool, processes),
            pool.writer(bench.generator.name, spec, processes.rank) as writer,
            trail,
        ):
            for chunk in processes.claim(list(chunks(left, at_once))):
                for result in workshop.search(method, chunk):
                    _write(result, workshop, writer, known, trail)
                    bar.update(there + done.add(1) - bar.n)
        processes.barrier()
        bar.update(len(prompts) - bar.n)  # what the others have searched since
    if processes.is_main:
        pool.merge()
        trail.merge()
    processes.barrier()
    pool.reload()
    trail.reload()


def side_by_side(widths: Sequence[tuple[int, float]], batch_size: int) -> int:
    """Return how many prompts to search at once: so many that batches are as full as can be, and no more.

    Parameters
    ----------
    widths
        How many candidates of a prompt are worked on at a time, each with the share of the work for which they are.
    batch_size
        Candidates of a full batch.
    """
    narrowest = min(count for count, _ in widths)

    def batches(prompts: int) -> float:
        """Return the batches for each prompt."""
        return sum(share * ceil(prompts * count / batch_size) for count, share in widths) / prompts

    return min(
        range(1, _CHUNKS * ceil(batch_size / narrowest) + 1), key=lambda count: round(batches(count), 9)
    )


def _is_searched(prompt: Prompt, trail: Trail, known: set[tuple[str, int]]) -> bool:
    """Return whether a prompt was searched, and nobody has deleted what was found."""
    found = trail.searched.get(prompt.id)
    return found is not None and all((prompt.id, index) in known for index in found.candidates)


def _write(
    result: Result, workshop: Workshop, writer: Any, known: set[tuple[str, int]], trail: Trail
) -> None:
    """Write what was found of a prompt: looks, candidates, and last that it was searched."""
    prompt, finished = result.prompt, result.found.finished
    looks = [(workshop.seed(prompt, look.candidate), look) for look in result.found.looks]
    trail.add_looks(prompt.id, looks)
    for index in sorted(finished):
        if (prompt.id, index) not in known:  # of a run that was killed before it said so
            sample = workshop.sample(finished[index])
            writer.add(prompt, index, workshop.seed(prompt, index), sample.clip, sample.tokens, sample.origin)
    trail.add(prompt.id, Searched(tuple(sorted(finished)), result.work))
