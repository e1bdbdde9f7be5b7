"""The gold judges' networks: three listeners (timbre, harmony, rhythm) and a head for each fact and for the severity.

The key is heard by a network that treats all twelve tonics alike: it scores every tonic in either mode, and the mode's
probability is the sum over tonics.
"""

import torch
from torch import nn
from torch.nn import functional

from experiments.lab.gold_judge.features import LAGS, MELS, OCTAVES, ONSET_BANDS, STEPS, tempogram
from experiments.lab.world.damage import KINDS
from experiments.lab.world.facts import HEARD, MODES

TONICS = 12
DROPOUT = 0.2


def _convolution(inputs: int, outputs: int, size: tuple[int, int], stride: tuple[int, int]) -> nn.Sequential:
    padding = (size[0] // 2, size[1] // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, padding, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
    )


def _mean_and_spread(frames: torch.Tensor) -> torch.Tensor:
    """Return mean and standard deviation over time [B, 2 C] of frames [B, C, T]."""
    mean = frames.mean(2, keepdim=True)
    spread = ((frames - mean).square().mean(2) + 1e-5).sqrt()
    return torch.cat([mean[..., 0], spread], 1)


class Timbre(nn.Module):
    """Convolutions over a log-mel spectrogram."""

    SIZE = 2 * 96

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _convolution(1, 16, (5, 5), (2, 2)),
            _convolution(16, 32, (3, 3), (2, 2)),
            _convolution(32, 48, (3, 3), (2, 2)),
        )
        self.frames = nn.Conv1d(48 * MELS // 8, self.SIZE // 2, 3, padding=1)

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Return [B, SIZE] of log-mels [B, MELS, T]."""
        found = self.layers(mel[:, None]).flatten(1, 2)
        return _mean_and_spread(functional.relu(self.frames(found)))


class Rhythm(nn.Module):
    """A perceptron over the tempogram."""

    SIZE = 48

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(ONSET_BANDS * LAGS, 96), nn.ReLU(), nn.Linear(96, self.SIZE), nn.ReLU()
        )

    def forward(self, mel: torch.Tensor) -> torch.Tensor:
        """Return [B, SIZE] of log-mels [B, MELS, T]."""
        return self.layers(tempogram(mel).flatten(1))


class Harmony(nn.Module):
    """Convolutions that shift with the pitch, first over pitches, then around the circle of pitch classes.

    The key that is found turns the circle, so that degrees of the scale, and notes outside it, lie in the same place
    for all keys; a perceptron over degrees then hears chords and wrong notes.
    """

    SIZE = 2 * 64
    #: semitones of the harmonics and subharmonics at which a note is looked for besides its own pitch
    HARMONICS = (-12, 0, 12, 19, 24, 28)
    OPENING = 8  # frames, 1 s: a song begins on its tonic

    def __init__(self) -> None:
        super().__init__()
        self.notes = nn.Sequential(
            _convolution(len(self.HARMONICS), 16, (3, 3), (2, 1)), _convolution(16, 16, (3, 3), (1, 1))
        )
        self.classes = _convolution(16 * OCTAVES, 32, (1, 1), (1, 1))
        self.chords = nn.Sequential(nn.Conv2d(32, 32, (TONICS, 3), padding=(0, 1)), nn.ReLU())
        self.key = nn.Sequential(nn.Conv1d(3 * 32, 32, TONICS), nn.ReLU(), nn.Conv1d(32, len(MODES), 1))
        self.degrees = nn.Conv1d(32 * TONICS, self.SIZE // 2, 3, padding=1)

    def forward(self, pitch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return [B, SIZE] and scores of the keys [B, modes, tonics] of pitch spectrograms [B, P, U]."""
        centred = pitch - pitch.mean((1, 2), keepdim=True)
        bands = [_raised(centred, semitones * STEPS // 12) for semitones in self.HARMONICS]
        notes = self.notes(torch.stack(bands, 1))
        classes = self.classes(notes.unflatten(2, (OCTAVES, TONICS)).flatten(1, 2))
        around = functional.pad(classes, (0, 0, 0, TONICS - 1), mode="circular")
        chords = self.chords(around)
        mean = chords.mean(3)
        spread = ((chords - mean[..., None]).square().mean(3) + 1e-5).sqrt()
        opening = chords[..., : self.OPENING].mean(3)
        summary = functional.pad(torch.cat([mean, spread, opening], 1), (0, TONICS - 1), mode="circular")
        key = self.key(summary)  # from LOWEST_PITCH, a C
        degrees = torch.einsum("bcdtk,bk->bcdt", around.unfold(2, TONICS, 1).transpose(2, 4), _scales(key))
        return _mean_and_spread(functional.relu(self.degrees(degrees.flatten(1, 2)))), key


def _scales(key: torch.Tensor) -> torch.Tensor:
    """Return the probability [B, tonics] of each diatonic scale, named by its major tonic, of scores of the keys."""
    major, minor = key.detach().flatten(1).softmax(1).view(key.shape).unbind(1)
    return major + minor.roll(3, 1)  # C major has the notes of A minor


def _raised(pitch: torch.Tensor, bands: int) -> torch.Tensor:
    """Return a pitch spectrogram in which every band holds what lies `bands` above it; the lowest value outside."""
    return functional.pad(pitch, (0, 0, -bands, bands), value=0.0)


class GoldModel(nn.Module):
    """From spectrograms to the facts and the severity of damage.

    A clip is never padded, and normalisation takes its statistics from training, so what is heard of a clip does not
    depend on its neighbours in a batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self.timbre, self.rhythm, self.harmony = Timbre(), Rhythm(), Harmony()
        size = Timbre.SIZE + Rhythm.SIZE + Harmony.SIZE
        self.norm = nn.Sequential(nn.BatchNorm1d(size), nn.Dropout(DROPOUT))
        self.facts = nn.ModuleDict(
            {
                name: nn.Sequential(nn.Linear(size, 32), nn.ReLU(), nn.Linear(32, len(values)))
                for name, values in HEARD.items()
                if name != "mode"
            }
        )
        self.damage = nn.Sequential(nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, 1 + len(KINDS)))

    def forward(self, mel: torch.Tensor, pitch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return logits.

        Parameters
        ----------
        mel, pitch
            Spectrograms [B, MELS, T] and [B, OCTAVES * STEPS, U] of clips of one length (`features.spectrograms`).

        Returns
        -------
        dict
            For each fact in `HEARD` [B, values]; `key` [B, modes, tonics]; `severity` [B] and `damage`, the strengths
            of the kinds, [B, kinds], both before the sigmoid.
        """
        harmony, key = self.harmony(pitch)
        heard = self.norm(torch.cat([self.timbre(mel), self.rhythm(mel), harmony], 1))
        found = {name: head(heard) for name, head in self.facts.items()}
        damage = self.damage(heard)
        return found | {
            "mode": key.logsumexp(2),
            "key": key,
            "severity": damage[:, 0],
            "damage": damage[:, 1:],
        }
