"""How much the reward of a preview says of that of the whole clip, by which a search drops candidates.

    music-reward previews --output runs/previews
    music-reward previews --generator lab-stable-audio --guidance 7 --sampling_steps 25 --output runs/previews_sa

All n candidates of each prompt are advanced to each share of the work, heard there, and finished. ``table.md`` tells

- for each share the correlation within prompts (Pearson) of the reward of previews with that of the finished clips, and
  how often the best clip is among the better half of the previews;
- for each schedule what `prune` would have chosen: which share of best of n's gain over a single clip it keeps, how its
  reward differs from that of best of n's choice, paired, and what it costs in finished and scored clips
  (`scaling.searching.compute`), beside best of n's n.

All have 95 % intervals over prompts. ``previews.jsonl`` has a row for each prompt; a killed run goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from generators import load_generator
from generators.filling import refuse_prompts
from generators.protocol import Job
from generators.registry import given_sampling
from generators.stepping import Partial, Stoppable, stoppable
from music.command import refuse_below_one
from music.durable import claim_work, write_text
from music.errors import InputError
from music.hashing import candidate_seed
from music.intervals import FEWEST, Array, Estimate, estimate_columns
from music.jsonl import JsonlAppender, read_jsonl
from music.options import Generation, Rewarding, Runtime
from music.paths import is_file
from music.progress import progress
from music.prompts import Prompt, load_prompts
from music.provenance import claim_folder, write_run_record
from music.tables import markdown_table
from reward import Scorer
from reward.composition import load_composed
from reward.protocol import ScoreRequest
from reward.scoring.candidates import refuse_unscorable
from reward.scoring.in_memory import score_clips
from scaling.methods.halving import Stage, parse_schedule
from scaling.methods.particles import parse_shares
from scaling.searching.compute import CLIP, Course, Prices, Work, prices_of
from scaling.searching.prompts import side_by_side

ROWS = "previews.jsonl"


@dataclass(frozen=True)
class MeasurePreviews(Rewarding, Generation, Runtime):
    """Measure how much the reward of a preview says of that of the whole clip.

    Attributes
    ----------
    generator
        Generator that can be stopped half-way: a name, hub id or folder.
    prompts
        Prompts, given as in scaling/best_of_n.py.
    n
        Number of candidates for each prompt, at least 3.
    shares
        Shares of the work after which candidates are heard, with commas between.
    schedules
        Schedules of scaling/search.py --method prune whose outcome is told, with semicolons between; each looks at some
        of the shares.
    seconds
        Length of each clip, s.
    seed
        Seed of the run.
    limit
        Number of prompts to take from the beginning; all if not given.
    output
        Folder for previews.jsonl, table.md and run.json. The same folder again resumes.
    """

    FREE: ClassVar = ("schedules", "limit", "output", "device")

    generator: str = "lab-musicgen"
    prompts: str = "lab-choosing"
    n: int = 10
    shares: str = "0.1,0.2,0.3,0.4,0.5,0.6,0.8"
    schedules: str = "0.2=0.5,0.5=0.5;0.3=0.5,0.5=0.5;0.4=0.5;0.5=0.3;0.5=0.2"
    seconds: float = 5.0
    seed: int = 0
    limit: int | None = None
    output: Path = Path("runs/previews")

    def __post_init__(self) -> None:
        """Refuse numbers out of range, and schedules that look where nothing is heard."""
        refuse_below_one(self, "limit", "batch_size")
        if self.n < 3:
            raise InputError(f"--n must be at least 3, as candidates are ordered, got {self.n}")
        looked = self.looked
        for text, stages in self.planned.items():
            for stage in stages:
                if stage.share not in looked:
                    raise InputError(
                        f"--schedules {text}: {stage.share:g} is none of the --shares {self.shares}"
                    )

    @property
    def looked(self) -> tuple[float, ...]:
        """Shares of the work after which candidates are heard."""
        return parse_shares(self.shares, "shares")

    @property
    def planned(self) -> dict[str, tuple[Stage, ...]]:
        """The schedules by their texts."""
        return {text: parse_schedule(text, "schedules") for text in self.schedules.split(";") if text.strip()}


def main(options: MeasurePreviews) -> None:
    """Hear what is not heard yet, tell and write."""
    claim_folder(options.output, options)
    prompts = load_prompts(options.prompts, options.limit)
    scorer, weights = load_composed(options)
    loaded = load_generator(
        options.generator, options.backend, options.device, options.dtype, **given_sampling(options)
    )
    generator = stoppable(loaded)
    refuse_unscorable([scorer], prompts)
    refuse_prompts(loaded, prompts, options.seconds, options.ignore_unsupported)
    free = {name: value for name, value in vars(options).items() if name not in options.FREE}
    claim_work(options.output, options=free, reward=scorer.hash, spec=dict(loaded.spec))
    path = options.output / ROWS
    known = {row["prompt_id"] for _, row in read_jsonl(path)} if is_file(path) else set()
    missing = [prompt for prompt in prompts if prompt.id not in known]
    at_once = side_by_side([(options.n, 1.0)], generator.batch_size)
    rows = JsonlAppender(path)
    for start in progress(range(0, len(missing), at_once), desc=f"previews ({loaded.name})"):
        for prompt, heard in _heard(options, generator, scorer, missing[start : start + at_once]):
            found = [[float(weights(one)) for one in scores] for scores in heard]
            rows.append({"prompt_id": prompt.id, "rewards": found})
    rows.close()
    told = {row["prompt_id"]: row["rewards"] for _, row in read_jsonl(path)}
    rewards = np.array([told[prompt.id] for prompt in prompts])  # [P, shares and the end, N]
    begun = generator.begin([_job(options, prompts[0], 0)], options.seconds)[0]
    table = _tables(options, rewards, prices_of(options, scorer, prompts[0]), Course.of(loaded, begun))
    write_text(options.output / "table.md", table)
    write_run_record(options.output, options, scorers={scorer.name: scorer.hash})
    print(table, end="")


def _job(options: MeasurePreviews, prompt: Prompt, index: int) -> Job:
    return Job(prompt, index, candidate_seed(options.seed, prompt.id, index))


def _heard(
    options: MeasurePreviews, generator: Stoppable, scorer: Scorer, prompts: Sequence[Prompt]
) -> list[tuple[Prompt, list[list[dict[str, float]]]]]:
    """Return for each prompt the scores of its candidates at each share, and of the finished clips last."""
    jobs = [_job(options, prompt, index) for prompt in prompts for index in range(options.n)]
    partials: Sequence[Partial] = generator.begin(jobs, options.seconds)
    heard: list[list[list[dict[str, float]]]] = [[] for _ in prompts]
    for share in (*options.looked, 1.0):
        partials = generator.advance(partials, share)
        for place, prompt in enumerate(prompts):
            own = partials[place * options.n : (place + 1) * options.n]
            clips = [generator.finish(one).clip if share == 1.0 else generator.preview(one) for one in own]
            heard[place].append(score_clips(scorer, [ScoreRequest(clip, prompt) for clip in clips]))
    return list(zip(prompts, heard, strict=True))


def kept_by(rewards: Array, shares: Sequence[float], stages: Sequence[Stage]) -> list[list[int]]:
    """Return the candidates of one prompt that go on after each look of a schedule.

    Parameters
    ----------
    rewards
        Rewards at each share, and of the finished clips last, `[S + 1, N]`.
    shares
        The S shares.
    stages
        The schedule.
    """
    left, kept = list(range(rewards.shape[1])), []
    for stage in stages:
        heard = rewards[shares.index(stage.share)]
        left = sorted(sorted(left, key=lambda one: (-heard[one], one))[: stage.kept(len(left))])
        kept.append(left)
    return kept


def cost_of(stages: Sequence[Stage], n: int, course: Course, prices: Prices) -> float:
    """Return what a schedule costs for n candidates, in finished and scored clips."""
    work, left, done = Work(), n, 0.0
    for stage in stages:
        reached = course.reached(stage.share)
        work = work + Work(generation=(reached - done) * left) + course.preview(stage.share, left)
        left, done = stage.kept(left), reached
    return prices.clips(work + Work(1.0 - done, CLIP.decoding, CLIP.scoring) * left)


def _tables(options: MeasurePreviews, rewards: Array, prices: Prices, course: Course) -> str:
    *previews, final = rewards.transpose(1, 0, 2)
    best = final.argmax(1)
    half = -(-options.n // 2)
    lines = []
    for share, heard in zip(options.looked, previews, strict=True):
        order = np.argsort(-heard, axis=1, kind="stable")[:, :half]
        columns = [_correlations(heard, final), (order == best[:, None]).any(1).astype(float)]
        lines.append([f"{share:g}", *map(_cell, estimate_columns(np.stack(columns, 1), options.seed))])
    first = markdown_table(
        ["share of the work", "r within prompts", f"best clip among the better {half} previews"], lines
    )
    whole, single = final.max(1), final.mean(1)
    lines = [["best of n", "1", "0", f"{options.n}"]]
    for text, stages in options.planned.items():
        chosen = np.array([one[-1][kept_by(one, options.looked, stages)[-1]].max() for one in rewards])
        [lost] = estimate_columns((chosen - whole)[:, None], options.seed)
        share = (chosen - single).mean() / (whole - single).mean()
        lines.append([text, f"{share:.3f}", _cell(lost), f"{cost_of(stages, options.n, course, prices):.2f}"])
    second = markdown_table(
        ["schedule", "share of the gain", "reward beside that of best of n", "cost, clips"], lines
    )
    return (
        f"{options.generator}: {len(rewards)} prompts of {options.prompts}, {options.n} candidates of "
        f"{options.seconds:g} s, heard by {options.reward}\n\n{first}\n{second}\n"
        f"Prices by {prices.basis}: generating {prices.generation:.2f} of a clip, decoding {prices.decoding:.2f}, "
        f"scoring {prices.scoring:.2f}.\n"
    )


def _correlations(one: Array, other: Array) -> Array:
    """Return Pearson's correlation within each prompt of `[P, N]` values; 0 where one does not vary."""
    a, b = (values - values.mean(1, keepdims=True) for values in (one, other))
    scale = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), scale, out=np.zeros(len(one)), where=scale > 0)


def _cell(one: Estimate) -> str:
    interval = f" [{one.low:.3f}, {one.high:.3f}]" if one.prompts >= FEWEST else ""
    return f"{one.value:.3f}{interval}"
