"""Options of the loop that teaches a reward what people say of a generator's clips.

    python -m rlhf.loop --held_out lab-held-out --judges experiments.lab.gold:Gold --output runs/loop
    python -m rlhf.loop --generator facebook/musicgen-small --reward HaiwenXia/CMI-RM --prompts prompts.txt --rounds 1 \
        --budget 250 --raters studies/musicgen --output runs/anchors
    music-reward loop --acquisition information --budget 500 --output runs/informed

What the loop does with them is told in `rlhf.loop`.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from music.command import refuse_below_one, refuse_negative
from music.errors import InputError
from music.options import Judging, Runtime, Sampling
from reward import RewardWeights

SIMULATED = "simulated"


@dataclass(frozen=True, kw_only=True)
class SimulatedRaters:
    """How simulated raters answer (`rlhf.asking.raters`).

    Attributes
    ----------
    rater_judge
        Scorer that knows the truth of simulated raters: a metric whose name ends in alignment (or margin, if there is
        one) or musicality answers that question.
    rater_count
        Number of simulated raters.
    rater_scale
        Error of simulated raters: the difference, in standard deviations of the judge over the pool, that 73 % of
        answers get right.
    taste
        Spread of simulated raters' own weights of musicality and alignment; 0 if all of them judge alike.
    lapses
        Share of simulated answers that are the toss of a coin.
    tie_threshold
        Difference, as simulated raters hear it, below which two clips are equal.
    """

    rater_judge: str = "experiments.lab.gold:Gold"
    rater_count: int = 20
    rater_scale: float = 0.5
    taste: float = 0.2
    lapses: float = 0.05
    tie_threshold: float = 0.1

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "rater_count")
        refuse_negative(self, "taste", "tie_threshold")
        if not (math.isfinite(self.rater_scale) and self.rater_scale > 0):
            raise InputError(f"--rater_scale must be above 0, got {self.rater_scale}")
        if not 0 <= self.lapses <= 1:
            raise InputError(f"--lapses is a share from 0 to 1, got {self.lapses}")


@dataclass(frozen=True)
class RewardLoop(SimulatedRaters, Judging, Sampling, Runtime):
    """Teach a reward, round by round, what raters say of clips that a generator makes.

    Attributes
    ----------
    generator
        Generator whose clips are asked about: a name, hub id or folder, or folder:PATH with clips of any system.
    prompts
        Prompts, given as in scaling/best_of_n.py.
    n
        Number of candidates for each prompt.
    rounds
        Rounds of asking and learning. A finished run goes on if there are more of them.
    budget
        Answers in each round, those about held-out prompts among them, spread evenly over the prompts.
    raters
        Raters: simulated, or a folder for listening tests (experiments.ab_test) that people answer, one for each round.
    acquisition
        Choice of the pairs to ask about: random, best_second, best_median, disagreement, information or mix
        (`rlhf.asking.acquisition`). What needs several heads asks at random as long as the reward has one.
    validation
        Share of the prompts whose answers never train, but measure; all of their pairs are drawn at random.
    policy
        Options of post-training (rlhf.train), such as algorithm=dpo,steps=32, by which the generator learns from the
        reward of each round; the next round asks about clips of what it has become. If empty it stays as it is.
    replay
        File of older preferences and ratings, so that they are not forgotten; a share of its preferences only measures.
    replay_share
        Share of the rows that are learned from that is drawn from the replay, if there is one.
    ensemble
        Number of heads of the reward, each from a draw of the rows; as many as it has if not given.
    learn
        Part of the reward that learns: heads, by gradient descent; or last_layer, that of its one head alone, solved
        exactly with a prior (`reward.training.last_layer`). Steps, learning rate, batch size and older ratings are for
        heads.
    steps
        Steps of the optimiser, in each round; nothing is chosen among them.
    learning_rate
        Learning rate of AdamW, after a linear rise over a tenth of the steps; a cosine leads from there to 0.
    batch_size
        Rows in each step.
    held_out
        Prompts on whose clips the reward of each round is compared with judges, given as `prompts`; none if not given.
    held_out_n
        Number of candidates for each held-out prompt.
    seconds
        Length of each clip, s.
    seed
        Seed of all noise, choices and simulated raters.
    pool_seed
        Seed of the clips alone, for loops about the same clips; that of all if not given.
    limit
        Number of prompts to take from the beginning; all if not given.
    embeddings
        Folder of outputs of the frozen towers, which several runs may share; the folder embeddings of the output by
        default.
    output
        Folder for all that is made. The same folder again resumes.
    """

    generator: str = "lab-musicgen"
    prompts: str = "lab-train"
    n: int = 8
    rounds: int = 2
    budget: int = 250
    raters: str = SIMULATED
    acquisition: Literal["random", "best_second", "best_median", "disagreement", "information", "mix"] = (
        "random"
    )
    validation: float = 0.2
    policy: str | dict[str, Any] = ""
    replay: Path | None = None
    replay_share: float = 0.5
    ensemble: int | None = None
    learn: Literal["heads", "last_layer"] = "heads"
    steps: int = 100
    learning_rate: float = 1e-4
    batch_size: int = 48
    held_out: str | None = None
    held_out_n: int = 8
    seconds: float = 5.0
    seed: int = 0
    pool_seed: int | None = None
    limit: int | None = None
    embeddings: Path | None = None
    output: Path = Path("runs/loop")

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        super().__post_init__()
        refuse_below_one(self, "rounds", "budget", "steps", "batch_size", "held_out_n", "limit")
        if self.n < 2:
            raise InputError(f"--n must be at least 2, as clips of a prompt are compared, got {self.n}")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise InputError(f"--seconds must be above 0, got {self.seconds}")
        if self.learning_rate <= 0:
            raise InputError(f"--learning_rate must be above 0, got {self.learning_rate}")
        if not 0 < self.validation < 1:
            raise InputError(f"--validation must lie between 0 and 1, got {self.validation}")
        if not 0 <= self.replay_share < 1:
            raise InputError(f"--replay_share must lie in [0, 1), got {self.replay_share}")
        if self.ensemble is not None and self.ensemble < 2:
            raise InputError(f"--ensemble must be at least 2, got {self.ensemble}: leave it out for one head")
        if self.judges and not self.held_out:
            raise InputError("--judges are for held-out prompts: give --held_out too")
        weights = RewardWeights.parse(self.weights).weights if self.weights else {}
        if of_scorer := [name for name in weights if "." in name]:
            raise InputError(
                f"--weights {of_scorer[0]}: the reward of each round has another name, so name its metrics alone"
            )
        if "," in str(self.output):  # reward.train takes several files with commas between
            raise InputError(f"--output {self.output} must not hold a comma")

    @property
    def seed_of_clips(self) -> int:
        """Seed of the clips."""
        return self.seed if self.pool_seed is None else self.pool_seed

    def place(self, index: int) -> Path:
        """Return the folder of a round."""
        return self.output / "rounds" / f"{index}"

    @property
    def frames(self) -> Path:
        """Folder of outputs of the frozen towers."""
        return self.embeddings or self.output / "embeddings"
