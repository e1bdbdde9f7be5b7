"""The questions that ablations answer, and what the paper (arXiv 2603.00610) found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.ablations.stages import COUNTS, MAPPINGS, SHAPES
from experiments.ablations.testing import View
from experiments.ablations.windows import WINDOWS

WHOLE = View()


@dataclass(frozen=True)
class Arm:
    """A model and how it is tested."""

    stage: str
    view: View = WHOLE


@dataclass(frozen=True)
class Contrast:
    """Two arms that are compared pair by pair.

    Attributes
    ----------
    first, second
        Arms.
    metric
        Of which less is better if it is the cross-entropy.
    """

    first: str
    second: str
    metric: str = "human"


@dataclass(frozen=True)
class Study:
    """A question.

    Attributes
    ----------
    title
        What is compared.
    paper
        What the paper found.
    arms
        By what the table calls them.
    contrasts
        What tells whether the paper's finding appears.
    seeds
        Trainings of each arm.
    labels
        Sets whose labels are compared with the truth.
    """

    title: str
    paper: str
    arms: Mapping[str, Arm]
    contrasts: Sequence[Contrast]
    seeds: int = 1
    labels: Sequence[str] = ()


def _fine_tuned(kind: str) -> dict[str, Arm]:
    arms = {}
    for count in COUNTS:
        arms[f"{count}"] = Arm(f"{kind}_{count}")
        arms[f"{count}, then Pref"] = Arm(f"{kind}_{count}_pref")
    return arms | {"all": Arm("distill"), "all, then Pref": Arm("distill_pref")}


STUDIES = {
    "training_sets": Study(
        "What is learned from",
        "Distillation and both human sets together are best; without distillation the human sets give less.",
        {
            "Distill": Arm("distill"),
            "Distill + Pref": Arm("distill_pref"),
            "Distill + Rating": Arm("distill_rating"),
            "Distill + Both": Arm("distill_both"),
            "Scratch + Both": Arm("scratch_both"),
        },
        [Contrast("Distill + Both", "Distill"), Contrast("Distill + Both", "Scratch + Both")],
        seeds=3,
    ),
    "label_smoothing": Study(
        "Label smoothing of pseudo-labels",
        "Without smoothing the cross-entropy on human pairs is higher; with it fine-tuning ends better.",
        {
            "on": Arm("distill"),
            "off": Arm("distill_unsmoothed"),
            "on, then Pref": Arm("distill_pref"),
            "off, then Pref": Arm("distill_unsmoothed_pref"),
        },
        [Contrast("on", "off", "cross_entropy"), Contrast("on, then Pref", "off, then Pref")],
        seeds=3,
    ),
    "consistency_filter": Study(
        "Pseudo-labels in which the judge agrees with itself",
        "The judge leans to one side; labels that do not depend on the order are kept, and are better.",
        {
            "filtered": Arm("distill"),
            "unfiltered": Arm("distill_unfiltered"),
            "filtered, then Pref": Arm("distill_pref"),
            "unfiltered, then Pref": Arm("distill_unfiltered_pref"),
        },
        [Contrast("filtered", "unfiltered"), Contrast("filtered, then Pref", "unfiltered, then Pref")],
        seeds=3,
        labels=("pseudo", "unfiltered"),
    ),
    "pseudo_count_epochs": Study(
        "Number of pseudo-labelled pairs, at equal epochs",
        "More pairs are better before and after fine-tuning, until about ten times the human ones.",
        _fine_tuned("epochs"),
        [Contrast("all", str(COUNTS[0])), Contrast("all, then Pref", f"{COUNTS[0]}, then Pref")],
    ),
    "pseudo_count_steps": Study(
        "Number of pseudo-labelled pairs, at equal steps",
        "As at equal epochs, with more noise.",
        _fine_tuned("steps"),
        [Contrast("all", str(COUNTS[0])), Contrast("all, then Pref", f"{COUNTS[0]}, then Pref")],
    ),
    "mapping": Study(
        "How a score becomes a rating",
        "The four maps differ little.",
        {"tanh": Arm("distill_both")} | {kind: Arm(f"distill_both_{kind}") for kind in MAPPINGS},
        [Contrast("tanh", kind) for kind in MAPPINGS],
    ),
    "head_size": Study(
        "Size of the head",
        "The paper reports heads of 8.3, 38 and 102 million parameters.",
        {"base": Arm("distill_both")} | {size: Arm(f"{size}_both") for size in SHAPES},
        [Contrast("base", "small"), Contrast("base", "large")],
    ),
    "prompt": Study(
        "Musicality with and without the prompt",
        "Told the prompt, the model orders musicality 5.4 points better.",
        {"with": Arm("distill_both"), "without": Arm("distill_both", View(prompt=False))},
        [Contrast("with", "without", "musicality"), Contrast("with", "without", "alignment")],
    ),
    "windows": Study(
        "How much of a clip is heard, of pairs longer than 10 s",
        "The whole of a clip is better than its first ten seconds; the mean over pieces comes near it.",
        {window: Arm("distill_both", View(window=window)) for window in WINDOWS},
        [Contrast("full", "first10"), Contrast("full", "mean10")],
    ),
}
