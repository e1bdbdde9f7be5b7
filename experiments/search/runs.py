"""The runs of a comparison: each is a search or a best of n, by the command that anybody would use, in its own folder.

What a run has found is kept in its folder as ``found.json``, after what it made has been judged; a killed one goes on.
The reward scores what a search finishes; judges hear only what it has chosen, and of the yardstick all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import scaling.best_of_n
import scaling.search
from experiments.running import spread
from experiments.search.options import HELD_OUT, CompareSearches
from music.durable import write_json
from music.files import read_object
from music.intervals import Array
from music.jsonl import read_jsonl
from music.paths import exists, is_file
from music.pool import Candidate, Pool
from music.processes import Processes
from music.prompts import Prompt, load_prompts
from reward.scoring.candidates import load_scorers, score_candidates
from rlhf.assessment.comparison import REWARD
from rlhf.assessment.diversity import ClipEmbeddings, load_encoders, vendi_score
from rlhf.models import copy_folder
from scaling.choose_best import choose_best
from scaling.searching.compute import prices_of

BEST_OF_N = "best_of_n"
SHARES_POOL = "stop"  # whose clips are those of best of n: what the yardstick has made is not made again
_FOUND = "found.json"
_STAGES = ("generate", "search", "score")  # of the time that a run tells; loading and reports are not counted


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes
    ----------
    stage
        What it is for: `CHOOSING` options, or `HELD_OUT` to be judged.
    method
        Method of search, or `BEST_OF_N`.
    seed
        Seed of the run.
    options
        Options of the method, by name.
    budget
        Compute for each prompt, in finished and scored clips; 0 for best of n.
    """

    stage: str
    method: str
    seed: int = 0
    options: tuple[tuple[str, object], ...] = ()
    budget: float = 0.0

    @property
    def place(self) -> Path:
        """Folder of the run below that of the family."""
        own = [value for _, value in self.options] + ([f"{self.budget:g}"] if self.budget else [])
        return Path(self.stage, "-".join(map(str, [self.method, *own, self.seed])))


@dataclass(frozen=True, eq=False)
class Found:
    """What a run has found.

    Attributes
    ----------
    metrics
        Reward and metrics of what was chosen, `[P, 1]` each; of best of n those of all candidates, `[P, N]`.
    diversity
        Vendi score of the chosen clips of all prompts, by its name; of best of n for each n from 1 to N, else `[1]`.
    clips
        Compute for each prompt, in finished and scored clips.
    flop
        The same in FLOP; None if they cannot be counted.
    seconds
        Time for each prompt, s: of generating, listening and scoring; None where the run took up what was there.
    """

    metrics: Mapping[str, Array]
    diversity: Mapping[str, Array]
    clips: float
    flop: float | None
    seconds: float | None


@dataclass(frozen=True)
class _Worker:
    """Does a run; it goes to each process."""

    options: CompareSearches

    def __call__(self, run: Run) -> Found:
        return _do(self.options, run)


def found_by(options: CompareSearches, runs: Sequence[Run], name: str) -> dict[Run, Found]:
    """Return what each of some runs has found; what is done is read, the others are done side by side.

    Parameters
    ----------
    options
        Options of the command.
    runs
        The runs.
    name
        Name of the progress bar.

    Raises
    ------
    InputError
        If one fails.
    """
    known = {run: _read(options, run) for run in runs}
    # the longest first, so that no process is left alone with one at the end
    missing = sorted(
        (run for run, one in known.items() if one is None),
        key=lambda run: -(run.budget or options.most),
    )
    made: dict[Run, Found] = {}
    if missing:
        work = spread(_Worker(options), missing, min(options.workers, len(missing)), name)
        made = dict(zip(missing, work, strict=True))
    return {run: one or made[run] for run, one in known.items()}


def _prompts(options: CompareSearches, run: Run) -> list[Prompt]:
    return load_prompts(*options.prompts(run.stage))


def _read(options: CompareSearches, run: Run) -> Found | None:
    """Return what a run has found, if it has ended on these prompts and is as large as it is asked for."""
    path = options.folder / run.place / _FOUND
    if not is_file(path):
        return None
    row = read_object(path)
    if row["prompts"] != [prompt.id for prompt in _prompts(options, run)]:
        return None
    metrics = {name: np.array(values) for name, values in row["metrics"].items()}
    if run.method == BEST_OF_N and metrics[REWARD].shape[1] < options.most:
        return None
    diversity = {name: np.array(values) for name, values in row["diversity"].items()}
    return Found(metrics, diversity, row["clips"], row["flop"], row["seconds"])


def _do(options: CompareSearches, run: Run) -> Found:
    """Do a run, judge what it has chosen, and keep what was found."""
    folder = options.folder / run.place
    prompts = _prompts(options, run)
    pool_folder = folder / "pool"
    if run.method == SHARES_POOL and run.stage == HELD_OUT and not exists(pool_folder):
        yardstick = options.folder / Run(HELD_OUT, BEST_OF_N, run.seed).place / "pool"
        copy_folder(yardstick, pool_folder)
    fresh = not exists(pool_folder)
    if run.method == BEST_OF_N:
        scaling.best_of_n.main(options.best_of_n(run.seed, folder))
    else:
        scaling.search.main(
            options.search(run.method, dict(run.options), run.budget, run.seed, folder, run.stage)
        )
    summary = read_object(folder / "summary.json")
    scorers, reward = load_scorers(options, options.judges if run.stage == HELD_OUT else "")
    pool = Pool(pool_folder)
    if run.method == BEST_OF_N:
        candidates = pool.candidates_of(prompts, options.most)
        flop = prices_of(options.best_of_n(run.seed, folder), scorers[0], prompts[0]).flop
        clips, flop = float(options.most), None if flop is None else flop * options.most
    else:
        candidates = [[one] for one in _chosen(folder, pool)]
        clips, flop = summary["compute"]["clips_per_prompt"], summary["compute"]["flop"]
    scores = score_candidates(scorers, pool, candidates, Processes())
    metrics = {REWARD: reward(scores), **scores}
    diversity = (
        _diversity(options, folder, pool, candidates, metrics[REWARD]) if run.stage == HELD_OUT else {}
    )
    spent = sum(summary["seconds"].get(stage, 0.0) for stage in _STAGES) / len(prompts)
    found = Found(metrics, diversity, clips, flop, spent if fresh else None)
    row = {
        "prompts": [prompt.id for prompt in prompts],
        "metrics": {name: values.tolist() for name, values in metrics.items()},
        "diversity": {name: values.tolist() for name, values in diversity.items()},
        **{name: getattr(found, name) for name in ("clips", "flop", "seconds")},
    }
    write_json(folder / _FOUND, row)
    return found


def _chosen(folder: Path, pool: Pool) -> list[Candidate]:
    """Return what a search has chosen of each prompt."""
    known = {one.key: one for one in pool}
    rows = [row for _, row in read_jsonl(folder / "best" / "metadata.jsonl")]
    return [known[row["prompt_id"], row["candidate"]] for row in rows]


def _diversity(
    options: CompareSearches,
    folder: Path,
    pool: Pool,
    candidates: Sequence[Sequence[Candidate]],
    rewards: Array,
) -> dict[str, Array]:
    """Return the Vendi score of the best of the first n of N candidates of all prompts, for each n, `[N]`."""
    found = {}
    numbers = range(1, rewards.shape[1] + 1)
    best = [
        [pool.path(row[place]) for row, place in zip(candidates, choose_best(rewards[:, :n]), strict=True)]
        for n in numbers
    ]
    paths = list(dict.fromkeys(path for chosen in best for path in chosen))
    for encoder in load_encoders(options.encoders, options.device, options.dtype):
        embedded = ClipEmbeddings(folder / "embeddings", encoder, options.seconds).embed(paths, Processes())
        rows = dict(zip(paths, embedded, strict=True))
        scores = [vendi_score(np.stack([rows[path] for path in chosen])) for chosen in best]
        found[f"vendi.{encoder.name}"] = np.array(scores)
    return found
