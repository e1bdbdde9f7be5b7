"""What decides a vote of Music Arena: the difference in musicality or in alignment (appendix D.3 of the paper).

    python -m experiments.analyses arena --results runs/cmi_rm/results.jsonl --output runs/analyses/arena

1. The battles of a results file of `reward.benchmark` that people decided are taken; ties are left out.
2. P(a) = sigmoid(c + m (musicality of a - b) + l (alignment of a - b)) is fitted to all of them. A standardized
   coefficient is that of a difference measured in its standard deviation; c is how far votes lean to the first clip.
   The prior of a standardized coefficient is normal around 0 with a standard deviation of 10, which only matters where
   the votes could be separated without error.
3. Votes are predicted from musicality alone, alignment alone, their mean (each as sigmoid of the difference, which is
   what a Bradley-Terry model means by it), and by the fit, of which each vote is predicted by one that has not seen its
   prompt (cross-validation, whole prompts to a fold).

OUTPUT holds `table.csv`, `table.md` and `figure.png`: coefficients, accuracy (ACC; even chances count half), area under
the ROC curve (AUC), and the mean square of vote minus chance (MSE), with 95 % intervals over prompts.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from experiments.analyses.logistic import fit_logistic
from experiments.figures import draw_dots, drawing, shown, write_report
from music.errors import InputError
from music.intervals import RESAMPLES, Array, estimate_each
from music.provenance import claim_folder
from music.tables import markdown_table
from reward.benchmark.extra import line_of, prompt_of
from reward.benchmark.metrics import Line, tested
from reward.benchmark.result_rows import MUSIC_ARENA, Row, gap_of, preference_of, read_results

COLUMNS = ("of", "metric", "value", "low", "high", "n", "prompts")
SPREAD = 10.0  # standard deviation of the prior of a standardized coefficient
METHODS = ("musicality", "alignment", "mean", "fitted")
METRICS = ("ACC", "AUC", "MSE")


@dataclass(frozen=True)
class Arena:
    """Find out what decides a vote of Music Arena, musicality or alignment.

    Parameters
    ----------
    results
        Rows with predictions, as reward.benchmark writes them.
    output
        Folder for table and figure.
    folds
        Number of folds of the cross-validation.
    seed
        Seed of the resampling and of the folds.
    """

    results: Path
    output: Path = Path("runs/analyses/arena")
    folds: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse less than two folds."""
        if self.folds < 2:
            raise InputError(f"--folds must be at least 2, got {self.folds}")


def main(options: Arena) -> None:
    """Write tables and figure."""
    claim_folder(options.output, options)
    values, prompts = battles(read_results(options.results))
    if len(values) == 0:
        raise InputError(
            f"{options.results} holds no battle of Music Arena that people decided and that has predictions of "
            "musicality and alignment: score the benchmark with a model that has both"
        )
    fitted = coefficients_of(values, prompts, options.seed)
    predicted = predictions_of(values, prompts, options.folds, options.seed)
    write_report(
        options.output,
        options,
        {"table": ([*fitted, *predicted], COLUMNS)},
        _page(fitted, predicted, options),
        resamples=RESAMPLES,
    )
    _draw(options.output / "figure.png", fitted, predicted)


def battles(rows: Sequence[Row]) -> tuple[Array, list[tuple[str, ...]]]:
    """Return the differences in musicality and alignment and the vote, 1 for a, of decided battles; and their prompts.

    The former are `[n, 3]`.
    """
    found, prompts = [], []
    for row in tested(rows)[MUSIC_ARENA]:
        gaps = [gap_of(row, (metric,)) for metric in ("musicality", "alignment")]
        vote = preference_of(row, "preference")
        if vote in ("a", "b") and None not in gaps:
            found.append([*gaps, float(vote == "a")])
            prompts.append(prompt_of(row))
    return np.array(found, float).reshape(-1, 3), prompts


def coefficients_of(values: Array, prompts: Sequence[Hashable], seed: int) -> list[Line]:
    """Return the lines of the coefficients of battles `[n, 3]`."""
    names = [
        ("first clip", "coefficient"),
        ("musicality", "coefficient"),
        ("alignment", "coefficient"),
        ("musicality", "standardized"),
        ("alignment", "standardized"),
        ("musicality minus alignment", "standardized"),
    ]

    def found(drawn: Array) -> Array:
        fit, scale = _fit(drawn)
        return np.array([fit[0], *(fit[1:] / scale), *fit[1:], fit[1] - fit[2]])

    estimates = estimate_each(found, values, prompts, seed)
    return [line_of(metric, one) | {"of": of} for (of, metric), one in zip(names, estimates, strict=True)]


def predictions_of(values: Array, prompts: Sequence[Hashable], folds: int, seed: int) -> list[Line]:
    """Return the lines of what predicts the votes of battles `[n, 3]`, and of the fit's gain over musicality alone."""
    from scipy.special import expit

    gaps, votes = values[:, :2], values[:, 2]
    chances = [*expit(gaps).T, expit(gaps.mean(axis=1)), out_of_fold(values, folds_of(prompts, folds, seed))]

    def found(drawn: Array) -> Array:
        vote = drawn[:, -1]
        scores = [_scores(chance, vote) for chance in drawn[:, :-1].T]
        return np.array([*np.ravel(scores), scores[-1][0] - scores[0][0]])

    estimates = estimate_each(found, np.stack([*chances, votes], axis=1), prompts, seed)
    names = [(method, metric) for method in METHODS for metric in METRICS]
    names.append(("fitted minus musicality", "ACC"))
    return [line_of(metric, one) | {"of": of} for (of, metric), one in zip(names, estimates, strict=True)]


def folds_of(prompts: Sequence[Hashable], folds: int, seed: int) -> NDArray[np.int64]:
    """Return the fold of each row; rows of a prompt share it, and folds differ by one prompt at most.

    Raises
    ------
    InputError
        If there are fewer prompts than folds.
    """
    names = list(dict.fromkeys(prompts))
    if len(names) < folds:
        raise InputError(f"{len(names)} prompts cannot be split into {folds} folds: ask for fewer --folds")
    order = np.random.default_rng(seed).permutation(len(names))
    fold = {names[place]: number % folds for number, place in enumerate(order)}
    return np.array([fold[prompt] for prompt in prompts])


def out_of_fold(values: Array, folds: NDArray[np.int64]) -> Array:
    """Return the chance of a vote for a `[n]`, fitted to the battles `[n, 3]` of all other folds."""
    from scipy.special import expit

    chances = np.empty(len(values))
    for fold in np.unique(folds):
        held = folds == fold
        fit, scale = _fit(values[~held])
        chances[held] = expit(fit[0] + (values[held, :2] / scale) @ fit[1:])
    return chances


def _fit(values: Array) -> tuple[Array, Array]:
    """Return intercept and standardized coefficients `[3]`, and the standard deviations of the differences `[2]`."""
    scale = values[:, :2].std(axis=0)
    scale[scale == 0] = 1.0  # what never differs decides nothing
    features = np.column_stack([np.ones(len(values)), values[:, :2] / scale])
    return fit_logistic(features, values[:, 2], np.zeros(3), np.full(3, SPREAD)), scale


def _scores(chances: Array, votes: Array) -> tuple[float, float, float]:
    """Return accuracy, area under the ROC curve and mean square error of chances of a vote for a."""
    from scipy.stats import rankdata

    right = np.where(chances == 0.5, 0.5, (chances > 0.5) == (votes == 1))
    ones, zeros = votes.sum(), (1 - votes).sum()
    ranks = rankdata(chances)[votes == 1].sum()
    area = (ranks - ones * (ones + 1) / 2) / (ones * zeros) if ones and zeros else np.nan
    return float(right.mean()), float(area), float(np.square(chances - votes).mean())


def _page(fitted: Sequence[Line], predicted: Sequence[Line], options: Arena) -> str:
    value = {(line["of"], line["metric"]): shown(line) for line in [*fitted, *predicted]}
    coefficients = [
        [str(of), value[of, "coefficient"], value.get((of, "standardized"), "")]
        for of in ("musicality", "alignment", "first clip")
    ]
    coefficients.append(
        ["musicality minus alignment", "", value["musicality minus alignment", "standardized"]]
    )
    methods = [[method, *(value[method, metric] for metric in METRICS)] for method in METHODS]
    methods.append(["fitted minus musicality", value["fitted minus musicality", "ACC"], "", ""])
    note = (
        f"{fitted[0]['n']} decided battles of {fitted[0]['prompts']} prompts in {options.results}; 95 % intervals over "
        f"prompts ({RESAMPLES} resamples, seed {options.seed}); the fit is cross-validated in {options.folds} folds."
    )
    return (
        "## What decides a vote of Music Arena\n\n"
        + markdown_table(["difference in", "coefficient", "standardized"], coefficients)
        + "\n"
        + markdown_table(["predicted from", *METRICS], methods)
        + f"\n{note}\n"
    )


def _draw(path: Path, fitted: Sequence[Line], predicted: Sequence[Line]) -> None:
    standardized = [line for line in fitted if line["metric"] == "standardized"][:2]
    accuracies = [line for line in predicted if line["metric"] == "ACC"][: len(METHODS)]
    with drawing(path, 1, 2, (8, 2.2)) as axes:
        left, right = axes[0]
        draw_dots(left, standardized, [str(line["of"]) for line in standardized])
        left.axvline(0, color="black", linewidth=0.8)
        left.set_title("standardized coefficient", fontsize=9)
        draw_dots(right, accuracies, [str(line["of"]) for line in accuracies], scale=100)
        right.set_title("votes predicted, %", fontsize=9)
