"""The scoring loop of CMI-RM's authors, restated: what best of n costs when nothing is reused."""

from collections.abc import Sequence
from typing import Any

import torch

from reward.cmi_rm.checkpoint import CMIRM
from reward.cmi_rm.downsamplers import Stream
from reward.cmi_rm.towers import build_towers

BATCH = 4
PASSES = 2  # times that text and lyrics are encoded; one of the results is thrown away


class AuthorsLoop:
    """Scores candidates in batches of four, and encodes all that their prompt holds for each of them.

    It works as the published inference does: the texts of a batch are encoded together, twice, and a reference as often
    as there are candidates. Audio of one length needs no padding, so its scores are ours.

    Parameters
    ----------
    model
        Model in float32 whose weights and head it takes.
    device
        Device that it runs on.
    """

    def __init__(self, model: CMIRM, device: torch.device) -> None:
        self._head, self._files, self._layer = model.head, model.towers.files, model.towers.use_layer_idx
        self._hearing: Any
        self._reading: Any
        self._hearing, self._reading = build_towers(self._files)  # muq's own modules
        self._hearing.load_state_dict(model.towers.audio_module.state_dict())
        self._reading.load_state_dict(model.towers.text_module.state_dict())
        for module in (self._hearing, self._reading):
            module.eval().requires_grad_(False).to(device)

    @torch.no_grad()
    def score(
        self, waves: torch.Tensor, text: str, lyrics: str, reference: torch.Tensor | None, dtype: str
    ) -> torch.Tensor:
        """Return `[N, 2]`, alignment and musicality, of N waves `[N, samples]` at 24 kHz.

        Parameters
        ----------
        waves
            Candidates, of at most 30 s.
        text, lyrics
            Words of their prompt.
        reference
            Audio `[samples]` of its reference, of at most 30 s; None if it has none.
        dtype
            Numeric type: float32, or bfloat16 by autocast.
        """
        parts = []
        for batch in waves.split(BATCH):
            with torch.autocast(batch.device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
                parts.append(self._batch(batch, text, lyrics, reference).float().cpu())
        return torch.cat(parts)

    def _batch(
        self, waves: torch.Tensor, text: str, lyrics: str, reference: torch.Tensor | None
    ) -> torch.Tensor:
        count = len(waves)
        audio = self._audio(waves)
        nothing = torch.zeros(count, 1, audio[0].shape[2], device=waves.device)
        heard = (nothing, torch.zeros(count, dtype=torch.long, device=waves.device))
        if reference is not None:
            heard = self._audio(reference.expand(count, -1))
        words = [self._texts([one] * count) for one in (text, lyrics) for _ in range(PASSES)]
        prompt, mask = self._head.prompt(words[0], words[-1], heard)
        return self._head(prompt, mask, audio)

    def _audio(self, waves: torch.Tensor) -> Stream:
        hidden = self._hearing.model(waves).hidden_states[self._layer]
        frames = self._hearing.transformer(self._hearing.proj(hidden))
        return frames, torch.full((len(frames),), frames.shape[1], device=frames.device)

    def _texts(self, texts: Sequence[str]) -> Stream:
        device = next(self._reading.parameters()).device
        tokens = self._files.tokenizer(list(texts), return_tensors="pt", padding=True).to(device)
        mask = tokens["attention_mask"]
        hidden = self._reading.model(input_ids=tokens["input_ids"], attention_mask=mask).last_hidden_state
        return self._reading.transformer(self._reading.proj(hidden), mask=mask.bool()), mask.sum(dim=1)
