"""The questions that ablations answer, and what the paper (arXiv 2603.00610) found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.ablations.stages import COUNTS, MAPPINGS, SHAPES
from experiments.ablations.testing import WINDOWS, View

WHOLE = View()


@dataclass(frozen=True)
class Arm:
    """A model, named by its stage, and how it is tested."""

    stage: str
    view: View = WHOLE


@dataclass(frozen=True)
class Contrast:
    """Two arms that are compared pair by pair, in a metric of `testing.PAIR_METRICS`."""

    first: str
    second: str
    metric: str = "human"


@dataclass(frozen=True)
class Ablation:
    """A question about the recipe."""

    title: str
    paper: str  # what the paper found
    arms: Mapping[str, Arm]  # by their names in the table
    contrasts: Sequence[Contrast]  # show whether the paper's finding appears
    seeds: int = 1  # trainings of each arm
    labels: Sequence[str] = ()  # sets whose labels are compared with the truth


def _fine_tuned(kind: str) -> dict[str, Arm]:
    arms = {}
    for count in COUNTS:
        arms[f"{count}"] = Arm(f"{kind}_{count}")
        arms[f"{count}, then Pref"] = Arm(f"{kind}_{count}_pref")
    return arms | {"all": Arm("distill"), "all, then Pref": Arm("distill_pref")}


ABLATIONS = {
    "training_sets": Ablation(
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
    "label_smoothing": Ablation(
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
    "consistency_filter": Ablation(
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
    "pseudo_count_epochs": Ablation(
        "Number of pseudo-labelled pairs, at equal epochs",
        "More pairs are better before and after fine-tuning, until about ten times the human ones.",
        _fine_tuned("epochs"),
        [Contrast("all", str(COUNTS[0])), Contrast("all, then Pref", f"{COUNTS[0]}, then Pref")],
    ),
    "pseudo_count_steps": Ablation(
        "Number of pseudo-labelled pairs, at equal steps",
        "As at equal epochs, with more noise.",
        _fine_tuned("steps"),
        [Contrast("all", str(COUNTS[0])), Contrast("all, then Pref", f"{COUNTS[0]}, then Pref")],
    ),
    "mapping": Ablation(
        "How a score becomes a rating",
        "The four maps differ little.",
        {"tanh": Arm("distill_both")} | {kind: Arm(f"distill_both_{kind}") for kind in MAPPINGS},
        [Contrast("tanh", kind) for kind in MAPPINGS],
    ),
    "head_size": Ablation(
        "Size of the head",
        "The paper reports heads of 8.3, 38 and 102 million parameters.",
        {"base": Arm("distill_both")} | {size: Arm(f"{size}_both") for size in SHAPES},
        [Contrast("base", "small"), Contrast("base", "large")],
    ),
    "prompt": Ablation(
        "Musicality with and without the prompt",
        "Told the prompt, the model orders musicality 5.4 points better.",
        {"with": Arm("distill_both"), "without": Arm("distill_both", View(prompt=False))},
        [Contrast("with", "without", "musicality"), Contrast("with", "without", "alignment")],
    ),
    "windows": Ablation(
        "How much of a clip is heard, of pairs longer than 10 s",
        "The whole of a clip is better than its first ten seconds; the mean over pieces comes near it.",
        {window: Arm("distill_both", View(window=window)) for window in WINDOWS},
        [Contrast("full", "first10"), Contrast("full", "mean10")],
    ),
}
