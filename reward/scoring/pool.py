"""Score the candidates of a pool; the scores lie in its ``scores/<scorer>.jsonl`` (see `music.scores`)."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from music.candidate import Candidate
from music.errors import InputError
from music.pool import Pool
from music.processes import Processes
from music.progress import progress
from music.scores import ScoreTable
from reward.protocol import Scorer, ScoreRequest, scores_of
from reward.scoring.threads import fastest_threads

_BATCH = (
    16  # requests that are handed over together; a scorer that gains nothing from it takes them one by one
)


def score_pool(
    pool: Pool,
    scorer: Scorer,
    candidates: Iterable[Candidate] | None = None,
    processes: Processes | None = None,
    on_error: Callable[[Candidate, InputError], None] | None = None,
) -> ScoreTable:
    """Score what has no score by this version of the scorer yet, and return the table of all its scores.

    A kill loses only the scores in flight. The processes share the prompts, so that each prompt is worked on by one.

    Parameters
    ----------
    pool
        Pool with the audio; every file is compared with its row before it is scored.
    scorer
        The judge.
    candidates
        Candidates to score; the whole pool by default.
    processes
        Processes that share the work; all must call. When this returns, each sees the scores of all.
    on_error
        Called for a candidate that cannot be scored, which is then left out; by default the error is raised.

    Raises
    ------
    InputError
        If a candidate cannot be scored, its file was changed, or the disk is full.
    BrokenScorerError
        If the scorer does not give what it announces.
    """
    processes = processes or Processes()
    wanted = pool.candidates if candidates is None else list(candidates)
    with ScoreTable(pool.folder, scorer.name, scorer.hash, scorer.metrics, processes.rank) as table:
        missing = sorted(table.missing(wanted), key=lambda candidate: candidate.key)
        # all have read before anybody writes
        processes.agree({"hash of the scorer": scorer.hash, "missing scores": [one.key for one in missing]})
        groups = [list(group) for _, group in itertools.groupby(missing, lambda found: found.prompt_id)]
        share = [candidate for group in processes.shard(groups) for candidate in group]
        bar = progress(
            total=len(share), desc=f"score ({scorer.name})", disable=not (processes.is_main and share)
        )
        with bar, fastest_threads(scorer, len(share)):
            for batch in batched(share, _BATCH):
                for candidate, scores in _scored(pool, scorer, batch, on_error):
                    table.append(candidate, scores)
                bar.update(len(batch))
    processes.barrier()
    if processes.is_main:
        table.merge()
    processes.barrier()
    table.reload()
    return table


def _scored(
    pool: Pool,
    scorer: Scorer,
    batch: Sequence[Candidate],
    on_error: Callable[[Candidate, InputError], None] | None,
) -> Iterator[tuple[Candidate, dict[str, float]]]:
    try:
        pool.verify(batch)
        requests = [ScoreRequest(pool.path(candidate), pool.prompt(candidate)) for candidate in batch]
        yield from zip(batch, scores_of(scorer, requests), strict=True)
    except InputError as error:
        if len(batch) > 1:  # find the culprit
            for candidate in batch:
                yield from _scored(pool, scorer, [candidate], on_error)
        elif on_error is not None:
            on_error(batch[0], error)
        else:
            one = batch[0]
            place = f"{pool.path(one)} (candidate {one.candidate} of prompt {one.prompt_id!r})"
            raise InputError(f"{scorer.name} cannot score {place}: {error}") from error


def batched(items: Sequence[Candidate], size: int) -> Iterator[Sequence[Candidate]]:
    """Yield consecutive pieces of at most `size` items."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
