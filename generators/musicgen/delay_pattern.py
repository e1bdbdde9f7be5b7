"""The delay pattern of MusicGen (Copet et al. 2023, section 2.2): codebook k lags k frames behind codebook 0.

At decoding step s, codebook k predicts frame s - delay(k). Where that lies outside of the clip, the special
token stands in. A stereo model has its codebooks in the order left 0, right 0, left 1, right 1 ...; each pair
shares its delay.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class DelayPattern:
    """Which frame of which codebook is predicted when.

    Attributes
    ----------
    codebooks
        Number of codebooks K, of both channels together.
    channels
        1 or 2.
    frames
        Length of the clip, frames.
    """

    codebooks: int
    channels: int
    frames: int

    @property
    def delays(self) -> torch.Tensor:
        """Delay of each codebook in frames, `[K]`."""
        return torch.arange(self.codebooks) // self.channels

    @property
    def steps(self) -> int:
        """Number of decoding steps."""
        return self.frames + self.longest_delay(self.codebooks, self.channels)

    @staticmethod
    def longest_delay(codebooks: int, channels: int) -> int:
        """Return the delay of the last codebook, in frames."""
        return (codebooks - 1) // channels

    def live(self) -> torch.Tensor:
        """Return where a step predicts a frame of the clip, bool `[steps, K]`."""
        frame = torch.arange(self.steps)[:, None] - self.delays
        return (frame >= 0) & (frame < self.frames)

    def align(self, delayed: torch.Tensor) -> torch.Tensor:
        """Undo the delays: predictions by step `[B, steps, K]` become codes by frame `[B, K, frames]`."""
        step = torch.arange(self.frames)[:, None] + self.delays  # [frames, K]
        index = step.to(delayed.device).expand(delayed.shape[0], -1, -1)
        return delayed.gather(1, index).transpose(1, 2)

    def delay(self, codes: torch.Tensor, special: int) -> torch.Tensor:
        """Apply the delays: codes by frame `[B, K, frames]` become predictions by step `[B, steps, K]`."""
        delayed = codes.new_full((codes.shape[0], self.steps, self.codebooks), special)
        step = torch.arange(self.frames)[:, None] + self.delays
        index = step.to(codes.device).expand(codes.shape[0], -1, -1)
        return delayed.scatter(1, index, codes.transpose(1, 2))
