"""MusicGen as a policy of TRL.

TRL's trainers take a causal language model: one sequence of tokens, one output head. MusicGen has K codebooks with a
head each, written with delays, read beside a text by cross-attention, and sampled with guidance. `MusicgenPolicy` puts
that behind the one call that TRL 1.16 makes of a model in its losses,

    model(input_ids, attention_mask, labels, fused_lm_head=True) -> FusedCausalLMOutput(log_probs, entropy, ...)

where `input_ids` are the ids of the text, then the codes frame by frame (codebook 0 to K-1 of frame 0, of frame 1 ...),
and `labels` are those codes, or -100 elsewhere. TRL's own losses, advantages and adapters then work as they are.

The probability of a code is the one it is sampled with: softmax((u + g (c - u)) / temperature), with c and u the logits
with and without text and g the guidance. A shorter clip beside longer ones reads the special token past its own end, as
when it was sampled.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.functional import log_softmax
from torch.utils.checkpoint import checkpoint
from transformers import GenerationConfig, PreTrainedConfig, PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from generators.musicgen.delay_pattern import DelayPattern

IGNORED = -100  # the label of what is no code
# what modules call their rates: p is torch's, the others MusicGen's, which TRL's own switch does not see
_DROPOUTS = ("p", "dropout", "attention_dropout", "activation_dropout", "layerdrop")


class MusicgenPolicyConfig(PreTrainedConfig):
    """What TRL reads and writes of a model's configuration."""

    model_type = "musicgen_policy"

    def get_text_config(
        self, decoder: bool | None = None, encoder: bool | None = None
    ) -> MusicgenPolicyConfig:
        """Return itself: that of MusicGen has two texts, and raises."""
        return self


class MusicgenPolicy(PreTrainedModel):
    """The probabilities of a MusicGen's codes.

    Nothing is dropped out, whatever the mode: a clip must have the probability with which it was sampled.

    Parameters
    ----------
    musicgen
        A `MusicgenForConditionalGeneration`; its text encoder and codec are frozen.
    guidance
        Scale of classifier-free guidance; 1 runs no branch without text.
    temperature
        Divides the logits.
    """

    config_class = MusicgenPolicyConfig
    base_model_prefix = "musicgen"
    supports_gradient_checkpointing = True
    _no_split_modules = ["MusicgenDecoderLayer"]  # noqa: RUF012 (as transformers declares it)

    def __init__(self, musicgen: Any, guidance: float, temperature: float) -> None:
        super().__init__(MusicgenPolicyConfig(is_encoder_decoder=False))
        self.musicgen = musicgen
        self.guidance, self.temperature = guidance, temperature
        self.generation_config = GenerationConfig()
        decoder = musicgen.config.decoder
        self.codebooks, self.channels = decoder.num_codebooks, decoder.audio_channels
        self.special: int = decoder.vocab_size
        musicgen.text_encoder.requires_grad_(False)
        musicgen.audio_encoder.requires_grad_(False)
        for module in musicgen.modules():
            for name in _DROPOUTS:
                if isinstance(getattr(module, name, None), float):
                    setattr(module, name, 0.0)

    def __setattr__(self, name: str, value: Any) -> None:
        """Keep `forward`: TRL replaces that of every model by one for its own call, which this one knows already."""
        if name != "forward":
            super().__setattr__(name, value)

    def get_input_embeddings(self) -> Any:
        """Return that of codebook 0: gradients reach checkpointed layers through it, and FSDP makes it a unit."""
        return self.musicgen.decoder.model.decoder.embed_tokens[0]

    def get_output_embeddings(self) -> None:
        """Return none: there is one head a codebook."""

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None = None,
        **_: Any,
    ) -> FusedCausalLMOutput:
        """Return log-probability and entropy of each code.

        Parameters
        ----------
        input_ids
            Text ids, then codes frame by frame, `[B, S]`; padded on either side.
        attention_mask
            1 where there is one of them, `[B, S]`.
        labels
            The codes, -100 elsewhere, `[B, S]`.
        num_items_in_batch
            What the loss is divided by; by default the number of codes.

        Returns
        -------
        FusedCausalLMOutput
            Its fields `[B, S - 1]`, nats, 0 where there is no code.

        Raises
        ------
        ValueError
            If a row's codes are no whole frames.
        """
        labelled = labels != IGNORED
        counts = labelled.sum(dim=1)
        if bool((counts % self.codebooks).any()):
            raise ValueError(f"codes come in frames of {self.codebooks}, got {counts.tolist()} in the rows")
        frames = counts // self.codebooks
        text, text_mask = _before(input_ids, attention_mask, labelled)
        codes, live = _framed(input_ids, labelled, self.codebooks)
        found = self._measure(text, text_mask, codes, frames)
        mask = labelled[:, 1:]
        log_probs, entropy, likeliest, mean_logits = (
            torch.zeros(mask.shape, dtype=part.dtype, device=part.device).masked_scatter(
                mask, part.transpose(1, 2)[live]
            )
            for part in found
        )
        items = mask.sum().clamp(min=1) if num_items_in_batch is None else num_items_in_batch
        return FusedCausalLMOutput(
            loss=-log_probs.sum() / items,
            log_probs=log_probs,
            entropy=entropy,
            mean_logits=mean_logits,
            is_top1=likeliest,
            label_mask=mask,
        )

    def _measure(
        self, text: torch.Tensor, text_mask: torch.Tensor, codes: torch.Tensor, frames: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """Return log-probability, entropy, whether it is the likeliest, and the mean logit, each `[B, K, T]`."""
        pattern = DelayPattern(self.codebooks, self.channels, codes.shape[2])
        hidden = self._hidden(text, text_mask, self._written(codes, frames, pattern))
        delays = pattern.delays.tolist()
        by_head = []
        for head, delay, chosen in zip(
            self.musicgen.decoder.lm_heads, delays, codes.unbind(dim=1), strict=True
        ):
            # one head at a time, computed again for the gradient: all logits of 30 s would take 47 MB a clip
            part = hidden[:, delay : delay + pattern.frames]
            by_head.append(checkpoint(self._of_head, head, part, chosen, use_reentrant=False))
        return tuple(torch.stack(parts, dim=1) for parts in zip(*by_head, strict=True))

    def _of_head(self, head: Any, hidden: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, ...]:
        logits = head(hidden).float() / self.temperature
        log_probs = log_softmax(logits, dim=-1)
        found = log_probs.gather(-1, chosen[..., None])[..., 0]
        entropy = -(log_probs.exp() * log_probs).sum(dim=-1)
        return found, entropy, log_probs.argmax(dim=-1) == chosen, logits.detach().mean(dim=-1)

    def _written(self, codes: torch.Tensor, frames: torch.Tensor, pattern: DelayPattern) -> torch.Tensor:
        """Return the decoder's input at each step, `[B, steps, K]`."""
        place = torch.arange(pattern.frames, device=codes.device)
        own = (place < frames[:, None])[:, None]
        delayed = pattern.delay(torch.where(own, codes, self.special), self.special)
        first = torch.full_like(delayed[:, :1], self.special)
        return torch.cat([first, delayed[:, :-1]], dim=1)

    def _hidden(self, text: torch.Tensor, mask: torch.Tensor, written: torch.Tensor) -> torch.Tensor:
        """Return what the heads read, guided, `[B, steps, width]`."""
        model = self.musicgen
        with torch.no_grad():
            states = model.text_encoder(input_ids=text, attention_mask=mask).last_hidden_state
        projection = getattr(model, "enc_to_dec_proj", None)
        if projection is not None:
            states = projection(states)
        states = states * mask[..., None]
        if self.guidance > 1:  # without text its states are zeros, which cross-attention adds as zeros
            states = torch.cat([states, torch.zeros_like(states)])
            mask, written = mask.repeat(2, 1), written.repeat(2, 1, 1)
        batch, steps, _ = written.shape
        hidden = model.decoder.model.decoder(
            input_ids=written.transpose(1, 2).reshape(batch * self.codebooks, steps),
            encoder_hidden_states=states,
            encoder_attention_mask=mask,
            use_cache=False,
        ).last_hidden_state
        if self.guidance > 1:
            towards, away = hidden.float().chunk(2)
            hidden = torch.lerp(away, towards, self.guidance).to(hidden.dtype)
        return hidden


def _before(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, labelled: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what stands before the codes and its mask, `[B, longest]`."""
    place = torch.arange(input_ids.shape[1], device=input_ids.device)
    first = torch.where(labelled.any(dim=1), labelled.int().argmax(dim=1), len(place))
    mask = (place < first[:, None]) & (attention_mask > 0)
    longest = int(first.max())
    mask = mask[:, :longest]
    return input_ids[:, :longest].masked_fill(~mask, 0), mask.long()  # codes of other rows are no ids of text


def _framed(
    input_ids: torch.Tensor, labelled: torch.Tensor, codebooks: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the codes `[B, K, T]`, zeros past a row's end, and where they are `[B, T, K]`."""
    counts = labelled.sum(dim=1)
    length = int(counts.max())
    live = torch.arange(length, device=input_ids.device) < counts[:, None]
    flat = torch.zeros_like(live, dtype=input_ids.dtype).masked_scatter(live, input_ids[labelled])
    shape = (len(counts), length // codebooks, codebooks)
    return flat.view(shape).transpose(1, 2), live.view(shape)


def flat_codes(codes: torch.Tensor) -> list[int]:
    """Return codes `[K, T]` as TRL's rows have them, frame by frame."""
    return codes.T.reshape(-1).tolist()
