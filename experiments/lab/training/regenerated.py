"""Songs of which the lab's MusicGen plays part: what is true of them is known, and they sound like what it makes.

A song is coded; at each step of the sampler the generator, which sees the true codes before it and the song's caption,
draws the step's codes as it does when it makes clips; and some frames of the song take the codes that were drawn.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from experiments.lab.training.musicgen import MAX_TEXT, predicted
from experiments.lab.world.corpus import Song, stream
from experiments.lab.world.facts import CAPTION_FACTS
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.sampling import SamplingOptions, gumbel_max
from music.progress import without_bars_of_transformers

MOST = 0.7  # greatest share of frames that the generator plays


class Player:
    """The lab's MusicGen as a player of songs.

    Parameters
    ----------
    folder
        Folder of the model and its tokenizer.
    """

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer, MusicgenForConditionalGeneration

        with without_bars_of_transformers():
            model: Any = MusicgenForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self.model = model.eval()
        self.codec = self.model.audio_encoder
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.options = SamplingOptions()

    @torch.no_grad()
    def play(self, one: Song) -> np.ndarray:
        """Return a song's waveform float32 [samples], with a share of its frames, drawn from 0 to `MOST`, played anew.

        The share, the frames and the codes belong to the song's streams.
        """
        rng = stream(*one.key, "played")
        wave = torch.from_numpy(one.waveform())
        codes = self.codec.encode(wave[None, None]).audio_codes[0]
        names = [name for name in CAPTION_FACTS if name != "vocals"]
        text = self.tokenizer(one.caption(names), truncation=True, max_length=MAX_TEXT, return_tensors="pt")
        ids, mask = (text[name].expand(2, -1) for name in ("input_ids", "attention_mask"))
        logits, _ = predicted(self.model, codes.expand(2, -1, -1), ids, mask, torch.tensor([False, True]))
        seen, blind = logits  # [K, steps, V]
        guided = blind + self.options.guidance * (seen - blind)
        noise = -np.log(rng.exponential(size=guided.shape))
        drawn = gumbel_max(
            guided, torch.from_numpy(noise).float(), self.options.temperature, self.options.top_k
        )
        played = DelayPattern(codes.shape[1], 1, codes.shape[2]).align(drawn.T[None])
        anew = torch.from_numpy(rng.random(codes.shape[2]) < rng.uniform(0, MOST))
        mixed = torch.where(anew, played, codes)
        return self.codec.decode(mixed[None]).audio_values[0, 0, : len(wave)].clamp(-1, 1).numpy()
