"""The unit in which search at test time is paid: one finished and scored clip.

Methods that stop, preview and score candidates half-way cost other shares of it than best of N, which finishes all that
it begins; equal compute is equal FLOP of generating, decoding and scoring together.
"""

from typing import Any

from generators.published import load_shape
from generators.registry import given_sampling
from generators.work import GeneratorWork
from music.prompts import Prompt
from reward.work import RewardWork, load_scorer_shape


class ClipCompute:
    """FLOP of the parts of a clip's work, of one generator and reward at one length.

    Parameters
    ----------
    generator
        Work of the generator.
    reward
        Work of the reward; None if nothing is scored.
    """

    def __init__(self, generator: GeneratorWork, reward: RewardWork | None = None) -> None:
        self._generator, self._reward = generator, reward

    @property
    def clip(self) -> float:
        """FLOP of one finished and scored clip."""
        return self.generating() + self.preview(1.0)

    @property
    def prompt(self) -> float:
        """FLOP of what is done once for all candidates of a prompt: its encoding by generator and reward."""
        return self._generator.text.flop + (self._reward.prompt.flop if self._reward else 0.0)

    def generating(self, start: float = 0.0, end: float = 1.0) -> float:
        """Return the FLOP of a clip's steps from one share of them to another, in a full batch."""
        return self._generator.generating(start, end).flop

    def decoding(self, share: float = 1.0) -> float:
        """Return the FLOP of decoding what can be heard of a clip at a share of its steps."""
        return self._generator.preview(share).flop

    def scoring(self, seconds: float) -> float:
        """Return the FLOP of scoring one clip of this length, s; 0 if nothing is scored, or nothing is there."""
        return self._reward.scoring(seconds).flop if self._reward and seconds > 0 else 0.0

    def preview(self, share: float) -> float:
        """Return the FLOP of decoding and scoring what can be heard of a clip at a share of its steps."""
        return self.decoding(share) + self.scoring(self._generator.heard_seconds(share))

    def in_clips(self, flop: float) -> float:
        """Return how many finished and scored clips cost as much."""
        return flop / self.clip


def work_of(config: Any, prompt: Prompt) -> tuple[GeneratorWork, RewardWork]:
    """Return the work of the generator and the reward of a command.

    Parameters
    ----------
    config
        Options with `generator`, `seconds` and those of `music.options.Generation`, `Rewarding` and `Runtime`.
    prompt
        What is made and scored, as long as prompts usually are.

    Raises
    ------
    InputError
        If generator or reward cannot be found, or their work cannot be counted.
    """
    alone = Prompt(prompt.id, prompt.text, prompt.lyrics)
    generator = GeneratorWork(
        lambda: load_shape(config.generator, config.backend, config.dtype, **given_sampling(config)),
        alone,
        config.seconds,
    )
    made = generator.generator
    reward = RewardWork(
        lambda: load_scorer_shape(config.reward, config.reward_options),
        alone,
        made.sample_rate,
        made.channels,
    )
    return generator, reward
