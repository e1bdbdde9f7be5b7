"""Lets the gold judges hear what the autoencoder of the lab's Stable Audio makes of held-out songs.

    python -m experiments.lab.vae_check --songs 200     # prints, and writes runs/lab/vae_check.json

For each fact it tells the share of undamaged songs in which the likeliest value is the true one, with 95 % Wilson
intervals: in the songs themselves, in the songs decoded from their latents, and from latents with as much noise as the
sampler leaves (`--noise`). Beside it stands the share of the most frequent value, which a judge that hears nothing
would reach.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from experiments.lab.gold import Gold
from experiments.lab.gold_check import facts_heard
from experiments.lab.options import Suite
from experiments.lab.training.musicgen import SECONDS
from experiments.lab.training.vae import load_vae, spectral_distances
from experiments.lab.training.vae_start import encoded, set_aside_idle_units
from experiments.lab.world.corpus import song, stream
from experiments.lab.world.facts import draw_facts
from experiments.lab.world.rendering import RENDERING, SAMPLE_RATE
from music.clips import Clip
from music.command import refuse_below_one, run
from music.durable import write_json
from music.intervals import Estimate
from reward.cmi_rm.weights import hash_tensors


@dataclass(frozen=True)
class VaeCheck(Suite):
    """Let the gold judges hear reconstructions of held-out songs.

    Parameters
    ----------
    songs
        Number of held-out instrumental songs, the first of the test split, undamaged.
    noise
        Standard deviation of the noise that is added to latents of standard deviation 1.
    vae
        Folder of the autoencoder.
    output
        File to write.
    """

    LIBRARIES: ClassVar = (RENDERING,)
    RENAMED: ClassVar = {"n": "songs"}

    songs: int = 200
    noise: float = 0.3
    vae: Path = Path("runs/lab/vae/finished")
    output: Path = Path("runs/lab/vae_check.json")

    def __post_init__(self) -> None:
        refuse_below_one(self, "songs")


def main(options: VaeCheck) -> None:
    """Render, encode, decode, judge, print and write."""
    vae, gold = load_vae(options.vae), Gold(options.suite / "gold")
    weights = hash_tensors(vae.state_dict())
    set_aside_idle_units(vae)
    facts = [
        draw_facts(stream("test", "vae", index, "facts"), vocals=False) for index in range(options.songs)
    ]
    clips: dict[str, list[Clip]] = {"songs": [], "decoded": [], "decoded, noisy": []}
    distances, noise = [], torch.Generator().manual_seed(0)
    for index, one in enumerate(facts):
        wave = torch.from_numpy(song("test", "vae", index, SECONDS, one).waveform())
        latents = encoded(vae, wave[None])
        rough = latents + options.noise * torch.randn(latents.shape, generator=noise)
        with torch.no_grad():
            decoded, noisy = (vae.decode(row).sample[0] for row in (latents, rough))
        distances.append(spectral_distances(decoded, wave[None, : decoded.shape[1]])[0].item())
        for name, audio in (("songs", wave[None]), ("decoded", decoded), ("decoded, noisy", noisy)):
            clips[name].append(Clip(audio.clamp(-1, 1), SAMPLE_RATE))
    found: dict[str, Any] = {"vae": weights, "gold": gold.hash, "n": options.songs, "noise": options.noise}
    found["log_spectrum"] = sum(distances) / len(distances)
    found["facts"] = {name: facts_heard(list(map(gold.hear, heard)), facts) for name, heard in clips.items()}
    print(f"distance of log magnitudes {found['log_spectrum']:.3f} nats")
    for name, heard in found["facts"].items():
        for fact, row in heard.items():
            share, most = Estimate(row["share"], *row["ci95"]), row["most_frequent"]
            print(f"{name:15s} {fact:11s} {share:.1%} of {row['clips']} songs (most frequent {most:.0%})")
    write_json(options.output, found)


if __name__ == "__main__":
    run(main, VaeCheck)
