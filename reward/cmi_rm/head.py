"""The head of CMI-RM (arXiv 2603.00610), which maps tower outputs to the two scores, or to distributions of ratings."""

import torch
from torch import nn

from reward.cmi_rm.config import CMIRMConfig
from reward.cmi_rm.downsamplers import Stream, build_downsampler, valid
from reward.cmi_rm.layers import DecoderLayer, Transformer
from reward.cmi_rm.ordinal import OrdinalRatings

OUTPUTS = ("alignment", "musicality")  # columns of the scores, as published
ALIGNMENT, MUSICALITY = range(len(OUTPUTS))
COLUMNS = {"musicality": MUSICALITY, "alignment": ALIGNMENT}


class RewardHead(nn.Module):
    """Downsamplers, prompt transformer, joint stage and projectors, with the published parameter names.

    A stream is `(x [B, T, dim], lengths [B])`: frames of one modality, the valid ones first. An absent modality has
    length 0. The work on a prompt (`prompt`) is separate from that on audio (`forward`), so that it can be reused.

    Outputs `[B, O]` are the two scores, or with `rating_levels` what `ratings` makes distributions of.
    """

    def __init__(self, config: CMIRMConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        self.text_downsampler = build_downsampler(dim, config.text_downsampler)
        self.lyrics_downsampler = build_downsampler(dim, config.text_downsampler)
        self.ref_downsampler = build_downsampler(dim, config.reference_downsampler)
        self.eval_downsampler = build_downsampler(dim, config.eval_downsampler)
        self.prompt_transformer = Transformer(config, config.prompt_tf_depth)
        self.joint_transformer: nn.Module
        if config.attention_mode == "SA":
            self.joint_transformer = Transformer(config, config.joint_tf_depth)
        else:
            self.joint_transformer = nn.ModuleList(DecoderLayer(config) for _ in range(config.joint_tf_depth))
        self.ratings = None if config.rating_levels is None else OrdinalRatings(config.rating_levels)
        self.outputs = config.output_dim if self.ratings is None else 2 * config.output_dim
        self.score_projector = _projector(dim, config.mlp_dim, self.outputs)
        # The published files carry these three; training of the released model left them unused.
        self.single_score_projector = _projector(dim, config.mlp_dim, 1)
        self.alignment_head = _projector(dim, config.mlp_dim, 1)
        self.quality_head = _projector(dim, config.mlp_dim, 1)
        self.null_text_embedding = nn.Parameter(torch.zeros(1, config.null_text.length, dim))
        self.null_lyrics_embedding = nn.Parameter(torch.zeros(1, config.null_lyrics.length, dim))
        self.null_audio_embedding = nn.Parameter(torch.zeros(1, config.null_audio.length, dim))

    def prompt(self, text: Stream, lyrics: Stream, reference: Stream) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the prompt `[B, P, dim]` and its mask `[B, P]`; P may be 0."""
        streams = (
            self.text_downsampler(*text),
            self.lyrics_downsampler(*lyrics),
            self.ref_downsampler(*reference),
        )
        x = torch.cat([frames for frames, _ in streams], dim=1)
        mask = torch.cat([valid(lengths, frames.shape[1]) for frames, lengths in streams], dim=1)
        return self.prompt_transformer(x, mask), mask

    def forward(self, prompt: torch.Tensor, prompt_mask: torch.Tensor, audio: Stream) -> torch.Tensor:
        """Return outputs `[B, O]` for audio under prompts from `prompt`; of a published head the scores `[B, 2]`.

        The audio must be long enough to keep a frame after downsampling: see `shortest_audio`.
        """
        x, lengths = self.eval_downsampler(*audio)
        mask = valid(lengths, x.shape[1])
        if isinstance(self.joint_transformer, nn.ModuleList):
            for layer in self.joint_transformer:
                x = layer(x, mask, prompt, prompt_mask)
        else:
            both = torch.cat([prompt, x], dim=1)
            x = self.joint_transformer(both, torch.cat([prompt_mask, mask], dim=1), prompt.shape[1])
        mean = (x * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return self.score_projector(mean)

    def scores(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the scores `[..., 2]` (alignment, musicality) that outputs stand for."""
        return outputs if self.ratings is None else self.ratings.mean(outputs)

    def log_odds(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the log-odds `[..., 2]` that audio of outputs `a` is preferred to audio of outputs `b`."""
        return a - b if self.ratings is None else self.ratings.log_odds(a, b)

    @property
    def shortest_audio(self) -> int:
        """Number of frames that audio must have at least."""
        return max(1, self.config.eval_downsampler.factor)


def _projector(dim: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
