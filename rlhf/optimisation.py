"""How weights are learned, whatever the algorithm and the library."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Optimisation:
    """How weights are learned.

    Attributes
    ----------
    steps
        Of the optimiser.
    learning_rate
        Of AdamW, after a linear rise over a tenth of the steps.
    batch_size
        Clips (pairs, of preferences) a step, over all processes.
    micro_batch_size
        Of them at once in a process; the rest follows by accumulation.
    lora_r
        Rank of the update.
    save_every
        Steps from one checkpoint to the next.
    gradient_checkpointing
        Compute layers again for the gradient, in place of keeping what they gave.
    bfloat16
        Compute in bfloat16, with weights in float32.
    seed
        Of order and rollouts.
    tracker
        tensorboard, wandb or none.
    """

    steps: int = 100
    learning_rate: float = 3e-4
    batch_size: int = 32
    micro_batch_size: int = 32
    lora_r: int = 16
    save_every: int = 25
    gradient_checkpointing: bool = False
    bfloat16: bool = False
    seed: int = 0
    tracker: str = "none"
