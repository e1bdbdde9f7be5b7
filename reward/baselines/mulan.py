"""MuQ-MuLan as a joint embedding of audio and text (arXiv 2501.01108): the alignment of the paper's table 5."""

from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import normalize

from music.clips import Clip
from music.devices import find_device
from music.hashing import canonical_json, sha256_text
from reward.baselines.similarity import JointEmbedding, Similarity
from reward.baselines.waves import mono_wave
from reward.cmi_rm.checkpoint import muq_tensors, tower_weights
from reward.cmi_rm.locations import Locator
from reward.cmi_rm.towers import MAX_SECONDS, Towers, find_tower_files
from reward.cmi_rm.weights import hash_tensors, load_strictly
from reward.protocol import MUQ

_PROJECTIONS = ("audio_to_latents", "text_to_latents")


class MulanEmbedding(JointEmbedding):
    """Audio in windows as muq cuts it, each alone; the mean of their embeddings, which have length 1.

    The last window is filled up from the beginning of the clip, as muq does. A text is encoded without padding, and cut
    to 512 tokens.

    The place is a folder, a hub id, or lab-mulan, of a MuQ-MuLan with both projections.
    """

    max_seconds = MAX_SECONDS
    features = (MUQ,)

    def __init__(self, place: str, name: str, device: str = "auto", dtype: str = "float32") -> None:
        locator = Locator()
        folder = locator.folder(place, ("config.json", "model.safetensors", "pytorch_model.bin"))
        files = find_tower_files(place, locator.beside(folder))
        tensors = muq_tensors(folder)
        self.name = name
        layer = int(files.mulan["audio_model"].get("use_layer_idx", -1))
        self._towers = Towers(files, tower_weights(tensors), layer, dtype=dtype)
        self.sample_rate: int = self._towers.sample_rate
        self._window = int(files.mulan["mulan"]["clip_secs"]) * self.sample_rate
        width = int(files.mulan["mulan"]["dim_latent"])
        with torch.random.fork_rng(devices=[]):  # their first weights are thrown away
            self._projections = nn.ModuleDict(
                {name: nn.Linear(self._towers.dim, width) for name in _PROJECTIONS}
            )
        found = {
            key.removeprefix("mulan."): value
            for key, value in tensors.items()
            if key.startswith(tuple(f"mulan.{name}." for name in _PROJECTIONS))
        }
        load_strictly(self._projections, found, f"the projections of {place}")
        self._projections.eval().requires_grad_(False)
        hashed = hash_tensors(self._projections.state_dict())  # while the weights are on the CPU
        facts = {"towers": self._towers.hash, "window": self._window, "projections": hashed}
        self.hash = sha256_text(canonical_json(facts))
        self._towers.to(find_device(device))

    def embed_audio(self, clip: Clip) -> torch.Tensor:
        """Return `[D]`; its length is 1 for one window and less for several that differ."""
        wave = mono_wave(clip, self.sample_rate)
        pieces = list(wave.split(self._window))
        pieces[-1] = torch.cat([pieces[-1], wave[: self._window - len(pieces[-1])]])
        frames = [self._towers.encode_audio(Clip(piece[None], self.sample_rate)) for piece in pieces]
        return torch.stack([self._embedded(one, "audio_to_latents") for one in frames]).mean(dim=0)

    def embed_text(self, text: str) -> torch.Tensor:
        """Return `[D]`, of length 1."""
        return self._embedded(self._towers.encode_text(text), "text_to_latents")

    def _embedded(self, frames: torch.Tensor, projection: str) -> torch.Tensor:
        return normalize(self._projections[projection](frames.mean(dim=0)), dim=0)


def mulan_similarity(place: str, device: str, dtype: str, subject: str = "text") -> Similarity:
    """Return the scorer of a MuQ-MuLan."""
    name = "mulan" if place.startswith("OpenMuQ/") else Path(place).name
    return Similarity(MulanEmbedding(place, name, device, dtype), subject)


def mulan_reference_similarity(place: str, device: str, dtype: str) -> Similarity:
    """Return the scorer that compares a clip with its reference."""
    return mulan_similarity(place, device, dtype, "reference")
