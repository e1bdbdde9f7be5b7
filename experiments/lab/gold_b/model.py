"""The second gold judges' networks: two listeners that read in time, and a linear head for each fact.

Timbre is heard by dilated convolutions over loudness. Harmony is read from chroma by a recurrent network, once from
each of the twelve tonics: it tells how well what it reads would fit a key on that tonic, and the state in which it ends
on the likeliest tonics tells chords and notes outside the key.
"""

import torch
from torch import nn
from torch.nn import functional

from experiments.lab.gold_b.features import BANDS, OCTAVES, PULSES, STEPS, pulse
from experiments.lab.world.damage import KINDS
from experiments.lab.world.facts import HEARD, MODES

TONICS = 12
#: steps from LOWEST_PITCH, an E, up to the C from which tonics count
TO_C = 8
DROPOUT = 0.2


class Attention(nn.Module):
    """Mean over time, weighted by what each frame says of its own weight, in several heads, and the maximum."""

    def __init__(self, channels: int, heads: int = 4) -> None:
        super().__init__()
        self.weight = nn.Conv1d(channels, heads, 1)
        self.size = channels * (heads + 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return [B, size] of frames [B, C, T]."""
        means = torch.einsum("bct,bht->bhc", frames, self.weight(frames).softmax(2))
        return torch.cat([means.flatten(1), frames.amax(2)], 1)


class Step(nn.Module):
    """A dilated convolution over time beside the identity (Bai et al. 2018), normed over channels."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.wide = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return [B, C, T] of frames [B, C, T]."""
        return frames + self.mix(functional.gelu(self.wide(self.norm(frames))))


class Timbre(nn.Module):
    """Dilated convolutions over loudness, which see 1.3 s around each frame."""

    CHANNELS = 80

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(BANDS, self.CHANNELS, 5, stride=2, padding=2)
        self.steps = nn.Sequential(*(Step(self.CHANNELS, dilation) for dilation in (1, 2, 4, 8, 16)))
        self.pool = Attention(self.CHANNELS)
        self.size = self.pool.size

    def forward(self, bands: torch.Tensor) -> torch.Tensor:
        """Return [B, size] of loudness [B, BANDS, T]."""
        return self.pool(functional.gelu(self.steps(self.first(bands))))


class Harmony(nn.Module):
    """A recurrent network that reads chroma from every tonic."""

    NOTES, CHROMA, STATE = 12, 5, 40

    def __init__(self) -> None:
        super().__init__()
        self.notes = nn.Sequential(
            nn.Conv2d(1, self.NOTES, (7, 3), padding=(3, 1)),
            nn.GELU(),
            nn.Conv2d(self.NOTES, self.NOTES, (3, 1), stride=(3, 1)),
            nn.GELU(),
        )
        self.chroma = nn.Conv1d(self.NOTES * OCTAVES, self.CHROMA, 1)
        self.norm = nn.GroupNorm(1, self.CHROMA)
        self.read = nn.GRU(self.CHROMA * TONICS, self.STATE, batch_first=True, bidirectional=True)
        self.fits = nn.Linear(4 * self.STATE, len(MODES))
        self.size = 4 * self.STATE

    def forward(self, pitches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return [B, size] and scores of the keys [B, modes, tonics] of pitches [B, P, U]."""
        centred = pitches - pitches.mean((1, 2), keepdim=True)
        centred = centred / (centred.square().mean((1, 2), keepdim=True) + 1e-4).sqrt()
        notes = self.notes(centred[:, None]).unflatten(2, (OCTAVES, STEPS // 3))  # [B, N, octaves, 12, U]
        batch, _, _, _, count = notes.shape
        chroma = self.chroma(notes.permute(0, 1, 2, 4, 3).reshape(batch, -1, count * TONICS))
        chroma = self.norm(chroma).unflatten(2, (count, TONICS)).permute(0, 2, 1, 3)  # [B, U, C, 12]
        turned = [chroma.roll(-(TO_C + tonic), 3).flatten(2) for tonic in range(TONICS)]
        read, last = self.read(torch.cat(turned))  # [12 B, U, 2 S]
        summary = torch.cat([read.mean(1), last.transpose(0, 1).flatten(1)], 1).unflatten(0, (TONICS, batch))
        key = self.fits(summary)  # [12, B, modes]
        likely = key.detach().logsumexp(2).softmax(0)
        return torch.einsum("tbs,tb->bs", summary, likely), key.permute(1, 2, 0)


class GoldBModel(nn.Module):
    """From loudness and pitches to the facts and the severity of damage; what it hears has no neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.timbre, self.harmony = Timbre(), Harmony()
        self.pulse = nn.Sequential(nn.Linear(6 * PULSES, 96), nn.GELU(), nn.Linear(96, 48))
        size = self.timbre.size + self.harmony.size + 48
        self.join = nn.Sequential(
            nn.LayerNorm(size), nn.Dropout(DROPOUT), nn.Linear(size, 128), nn.GELU(), nn.Dropout(DROPOUT)
        )
        self.facts = nn.ModuleDict(
            {name: nn.Linear(128, len(values)) for name, values in HEARD.items() if name != "mode"}
        )
        self.damage = nn.Linear(128, 1 + len(KINDS))

    def forward(self, bands: torch.Tensor, pitches: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return logits under the names and in the shapes of `gold_judge.model.GoldModel`."""
        harmony, key = self.harmony(pitches)
        heard = self.join(torch.cat([self.timbre(bands), self.pulse(pulse(bands)), harmony], 1))
        damage = self.damage(heard)
        return {name: head(heard) for name, head in self.facts.items()} | {
            "mode": key.logsumexp(2),
            "key": key,
            "severity": damage[:, 0],
            "damage": damage[:, 1:],
        }
