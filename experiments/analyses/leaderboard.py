"""Generators ranked by a reward: all pairs of them on every prompt, and the Bradley-Terry model of who wins.

    python -m experiments.analyses leaderboard --pools runs/musicgen/pool,runs/stable_audio/pool
    python -m experiments.analyses leaderboard --pools runs --reward HaiwenXia/CMI-RM   # all pools below a folder

1. Every candidate is scored, beside its pool; what is scored is not scored again (`reward.scoring.candidates`). The
   prompts that all pools have count.
2. For each prompt and pair of systems every candidate of the one meets every candidate of the other, and the higher
   reward wins; equal ones share the win. The mean over these meetings is the share of that prompt.
3. The shares are summed over prompts, half a win is added to both sides of each pair (the correction of log-odds by
   Haldane and Anscombe, which keeps who wins all finite), and P(i beats j) = sigmoid(s_i - s_j) is fitted by choix.
4. A system has 400 s + 1500 points, where the mean of all s is 0, as the paper's leaderboard has it: s is in nats, so
   400 points are odds of e to 1. (Elo's scale in chess has 400 points at odds of 10 to 1: there 400 s / ln 10.)

OUTPUT holds `table.csv` (points, and how far each is ahead of the next, with 95 % intervals over prompts, which are
resampled with all that their candidates did), `wins.csv` (the share of wins of each system against each), `table.md`
and `figure.png`.

Clips of any system become a pool by `scaling/best_of_n.py --generator folder:PATH`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments.figures import draw_dots, drawing, shown, write_report
from music.command import split_names
from music.distributed.same_inputs import meet
from music.durable import make_folder
from music.errors import InputError
from music.intervals import RESAMPLES, Array, estimate_each
from music.optional_libraries import OptionalLibraries, install_extra
from music.options import Rewarding, Runtime
from music.paths import files_in, is_folder, short_names
from music.pool import Candidate, Pool
from music.provenance import claim_folder
from music.tables import markdown_table
from reward.benchmark.extra import line_of
from reward.benchmark.metrics import Line
from reward.bradley_terry import fit_strengths
from reward.scoring.candidates import hashes_of, load_scorers, score_candidates
from scaling.evaluate import complete, generator_names

COLUMNS = ("rank", "system", "metric", "value", "low", "high", "n", "prompts", "wins")
CHOIX = OptionalLibraries("the leaderboard", ("choix",), install_extra("analyses"))
SCALE, CENTRE = 400.0, 1500.0


@dataclass(frozen=True)
class Leaderboard(Rewarding, Runtime):
    """Rank generators by a reward, from pools that exist.

    Parameters
    ----------
    pools
        Folders of pools, or folders with pools below them, separated by commas.
    seed
        Seed of the resampling of prompts.
    output
        Folder for tables and figure.
    """

    pools: str
    seed: int = 0
    output: Path = Path("runs/analyses/leaderboard")


def main(options: Leaderboard) -> None:
    """Score all pools, rank them and write tables and figure; every process of a parallel run calls it."""
    CHOIX.check()
    with meet(options, options.output) as processes:
        claim_folder(options.output, options)
        pools = [Pool(folder) for name in split_names(options.pools) for folder in pools_in(Path(name))]
        rows = on_shared_prompts(pools)
        systems = names_of(pools)
        scorers, reward = load_scorers(options)
        make_folder(options.output)  # before any clip is scored
        rewards = [
            reward(score_candidates(scorers, pool, candidates, processes))
            for pool, candidates in zip(pools, rows, strict=True)
        ]
        if not processes.is_main:
            return
        wins = win_shares(rewards)
        lines = ranked(wins, systems, options.seed)
        shares = wins.mean(axis=0)
        matrix: list[Line] = [
            {"system": name} | dict(zip(systems, map(float, row), strict=True))
            for name, row in zip(systems, shares, strict=True)
        ]
        counts = [f"{len(row[0])} candidates of {name}" for name, row in zip(systems, rows, strict=True)]
        note = (
            f"{len(wins)} prompts, {', '.join(counts)}; the reward is {reward.name} by {scorers[0].name}. Points "
            f"are 400 s + 1500, s in nats; 95 % intervals over prompts ({RESAMPLES} resamples, seed {options.seed})."
        )
        order = [systems.index(str(line["system"])) for line in lines if line["metric"] == "points"]
        write_report(
            options.output,
            options,
            {"table": (lines, COLUMNS), "wins": (matrix, ("system", *systems))},
            _page(lines, shares, systems, order, note),
            scorers=hashes_of(scorers),
        )
        _draw(options.output / "figure.png", lines, shares, systems, order)


def pools_in(folder: Path) -> list[Path]:
    """Return the folder if it is a pool, else the pools below it.

    Raises
    ------
    InputError
        If there is none.
    """
    found = [folder] if _is_pool(folder) else list(filter(_is_pool, files_in(folder, "**/")))
    if not found:
        raise InputError(f"{folder} is no pool, and none lies below it: name what best_of_n.py has filled")
    return found


def _is_pool(folder: Path) -> bool:
    return is_folder(folder / "specs") and any(folder.glob("metadata*.jsonl"))


def names_of(pools: Sequence[Pool]) -> list[str]:
    """Return the names of the systems: those of their generators, with the pool where several have the same."""
    given = [pool.candidates[0].generator for pool in pools]
    generators = [generator_names(given)[name] for name in given]
    folders = short_names([pool.folder for pool in pools])
    return [
        name if generators.count(name) == 1 else f"{name} ({folder})"
        for name, folder in zip(generators, folders, strict=True)
    ]


def on_shared_prompts(pools: Sequence[Pool]) -> list[list[list[Candidate]]]:
    """Return the candidates of each pool and prompt that all pools have, in the same order of prompts.

    Raises
    ------
    InputError
        If there are fewer than two pools, they share no prompt, or a prompt differs between them.
    """
    if len(pools) < 2:
        raise InputError("a leaderboard needs at least two pools: name them with commas between")
    by_prompt = [{row[0].prompt_id: row for row in complete(pool, 1)} for pool in pools]
    shared = [name for name in by_prompt[0] if all(name in rows for rows in by_prompt[1:])]
    if not shared:
        raise InputError("the pools have no prompt in common: make them from the same --prompts")
    for name, (pool, rows) in itertools.product(shared, zip(pools[1:], by_prompt[1:], strict=True)):
        for part in ("text", "lyrics", "reference"):
            one, other = (getattr(candidates[name][0], part) for candidates in (by_prompt[0], rows))
            if one != other:
                raise InputError(
                    f"prompt {name!r} has another {part} in {pool.folder} than in {pools[0].folder}: {other!r}, {one!r}"
                )
    return [[rows[name] for name in shared] for rows in by_prompt]


def win_shares(rewards: Sequence[Array]) -> Array:
    """Return how often each system beats each other one on each prompt, `[P, M, M]` from 0 to 1; the diagonal is 0.

    The rewards are `[P, N]` for each of M systems; N may differ between them.
    """
    wins = np.zeros((len(rewards[0]), len(rewards), len(rewards)))
    for i, j in itertools.permutations(range(len(rewards)), 2):
        ahead = np.sign(rewards[i][:, :, None] - rewards[j][:, None, :])
        wins[:, i, j] = ((ahead + 1) / 2).mean(axis=(1, 2))
    return wins


def ranked(wins: Array, systems: Sequence[str], seed: int) -> list[Line]:
    """Return two lines for each system, the strongest first: its points, and how far it is ahead of the next."""
    order = np.argsort(-fit_strengths(wins.sum(axis=0)), kind="stable")

    def found(drawn: Array) -> Array:
        points = CENTRE + SCALE * fit_strengths(drawn.sum(axis=0))[order]
        return np.concatenate([points, points[:-1] - points[1:]])

    estimates = estimate_each(found, wins, range(len(wins)), seed)
    shares = wins.mean(axis=0).sum(axis=1) / (len(systems) - 1)
    lines: list[Line] = []
    for rank, place in enumerate(order):
        facts: Line = {"rank": rank + 1, "system": systems[place], "wins": float(shares[place])}
        lines.append(facts | line_of("points", estimates[rank]))
        if rank < len(systems) - 1:
            lines.append(facts | line_of("ahead of the next", estimates[len(systems) + rank]))
    return lines


def _page(
    lines: Sequence[Line], shares: Array, systems: Sequence[str], order: Sequence[int], note: str
) -> str:
    ahead = {line["rank"]: shown(line, 0) for line in lines if line["metric"] != "points"}
    rows = [
        [
            f"{line['rank']}. {line['system']}",
            shown(line, 0),
            f"{100 * float(line['wins'] or 0):.1f}",
            ahead.get(line["rank"], ""),
        ]
        for line in lines
        if line["metric"] == "points"
    ]
    matrix = [[systems[i], *("–" if i == j else f"{100 * shares[i, j]:.1f}" for j in order)] for i in order]
    return (
        "## Leaderboard\n\n"
        + markdown_table(["system", "points", "wins, %", "ahead of the next"], rows)
        + "\nWins of the row against the column, %:\n\n"
        + markdown_table(["", *(systems[j] for j in order)], matrix)
        + f"\n{note}\n"
    )


def _draw(
    path: Path, lines: Sequence[Line], shares: Array, systems: Sequence[str], order: Sequence[int]
) -> None:
    names = [systems[place] for place in order]
    with drawing(path, 1, 2, (9.5, 0.45 * len(names) + 1.8)) as axes:
        left, right = axes[0]
        draw_dots(left, [line for line in lines if line["metric"] == "points"], names)
        left.set_title("points (400 s + 1500)", fontsize=9)
        percent = 100 * shares[np.ix_(order, order)]
        np.fill_diagonal(percent, np.nan)
        right.imshow(percent, cmap="RdBu", vmin=0, vmax=100)
        for i, j in itertools.permutations(range(len(names)), 2):
            right.text(j, i, f"{percent[i, j]:.0f}", ha="center", va="center", fontsize=8)
        right.set_xticks(range(len(names)), names, fontsize=7, rotation=20, ha="right")
        right.set_yticks(range(len(names)), names, fontsize=7)
        right.grid(False)
        right.set_title("wins of the row against the column, %", fontsize=9)
