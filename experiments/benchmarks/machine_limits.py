"""What decoding asks of a machine; what one can do at best is measured in `music.machine_rates`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from music.machine_rates import matmul_rate, read_rate

__all__ = ["DecodingWork", "count_flop", "decoding_work", "matmul_rate", "read_rate"]


@dataclass(frozen=True)
class DecodingWork:
    """What one step of decoding costs, on average over the steps of a clip."""

    flop: float  # multiplications and additions
    bytes: float  # weights, keys and values, each read once

    def floors(self, matmul: float, bandwidth: float) -> tuple[float, float]:
        """Return the shortest times of a step, s: at a rate of arithmetic, FLOP/s, and at one of memory, bytes/s."""
        return self.flop / matmul, self.bytes / bandwidth


def decoding_work(decoder: Any, clips: int, guided: bool, text: int, steps: int) -> DecodingWork:
    """Return what a step of `generators.musicgen.incremental_decoder` costs; MusicGen's layers have no biases.

    Parameters
    ----------
    decoder
        A `MusicgenForCausalLM`.
    clips
        Clips in the batch.
    guided
        Whether each clip has a branch without text, which attends to no text.
    text
        Padded length of the texts, tokens.
    steps
        Steps of a clip.
    """
    layers = decoder.model.decoder.layers
    rows = clips * (2 if guided else 1)
    attention, width = layers[0].self_attn, decoder.config.hidden_size
    every = sum(
        linear.weight.numel()
        for linear in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj)
    )
    every += layers[0].fc1.weight.numel() + layers[0].fc2.weight.numel()
    texts = layers[0].encoder_attn.q_proj.weight.numel() + layers[0].encoder_attn.out_proj.weight.numel()
    heads = sum(head.weight.numel() for head in decoder.lm_heads)
    past = (steps + 1) / 2  # positions that a step attends to
    attended = width * (rows * past + clips * text)  # keys, and as many values
    flop = 2 * (len(layers) * (rows * every + clips * texts + 2 * attended) + clips * heads)
    read = len(layers) * (every + texts + 2 * attended) + heads
    return DecodingWork(float(flop), float(read * decoder.lm_heads[0].weight.element_size()))


def count_flop(work: Callable[[], object]) -> float:
    """Return the arithmetic that some work does in this thread, FLOP; the counter does not see other threads."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())
