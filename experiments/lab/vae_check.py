"""Lets the gold judges hear what the autoencoder of the lab's Stable Audio makes of held-out songs.

    python -m experiments.lab.vae_check --n 200     # prints, and writes runs/lab/vae_check.json

For each fact the share of undamaged songs in which the likeliest value is the true one, with 95 % Wilson intervals: in
the songs themselves, in the songs decoded from their latents, and from latents with as much noise as the sampler
leaves (`--noise`), beside the share of the most frequent value, which a judge that hears nothing would reach.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.lab.gold import Gold
from experiments.lab.gold_check import facts_heard
from experiments.lab.training.musicgen import SECONDS
from experiments.lab.training.vae import load_vae, spectral_distances
from experiments.lab.training.vae_start import encoded, set_aside_idle_units
from experiments.lab.world.corpus import song, stream
from experiments.lab.world.facts import draw_facts
from experiments.lab.world.rendering import SAMPLE_RATE
from music.clips import Clip
from music.command import refuse_below_one, run
from music.durable import write_text
from music.shipped_files import LAB
from reward.cmi_rm.towers import hash_tensors


@dataclass(frozen=True)
class VaeCheck:
    """Let the gold judges hear reconstructions of held-out songs.

    Parameters
    ----------
    n
        Held-out instrumental songs: the first so many of the test split, undamaged.
    noise
        Deviation of the noise that is added to latents of deviation 1.
    models
        Folder of the lab's models, for the judges.
    vae
        Folder of the autoencoder.
    output
        File to write.
    """

    n: int = 200
    noise: float = 0.3
    models: Path = LAB
    vae: Path = Path("runs/lab/vae/finished")
    output: Path = Path("runs/lab/vae_check.json")

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        refuse_below_one(self, "n")


def main(options: VaeCheck) -> None:
    """Render, encode, decode, judge, print and write."""
    vae, gold = load_vae(options.vae), Gold(options.models / "gold")
    weights = hash_tensors(vae.state_dict())
    set_aside_idle_units(vae)
    facts = [draw_facts(stream("test", "vae", index, "facts"), vocals=False) for index in range(options.n)]
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
    found: dict[str, Any] = {"vae": weights, "gold": gold.hash, "n": options.n, "noise": options.noise}
    found["log_spectrum"] = sum(distances) / len(distances)
    found["facts"] = {name: facts_heard(gold.hear(heard), facts) for name, heard in clips.items()}
    print(f"distance of log magnitudes {found['log_spectrum']:.3f} nats")
    for name, heard in found["facts"].items():
        for fact, row in heard.items():
            low, high = row["ci95"]
            print(
                f"{name:15s} {fact:11s} {row['share']:6.1%} [{low:.1%}, {high:.1%}] of {row['clips']} songs "
                f"(most frequent {row['most_frequent']:.0%})"
            )
    write_text(options.output, json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    run(main, VaeCheck)
