"""The lab's MuQ-MuLan before its training, of the `muq` package's classes, and the probes that train beside it."""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from experiments.lab.world.facts import HEARD
from music.progress import without_bars_of_transformers
from reward.cmi_rm.muq_import import import_muq

DIM = 128


def configs() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the configs of MuQ and of MuQ-MuLan; names are those of folders beside each other."""
    conformer = {
        "activation_dropout": 0.0,
        "add_adapter": False,
        "attention_dropout": 0.0,
        "conformer_conv_dropout": 0.0,
        "conv_depthwise_kernel_size": 5,
        "feat_extract_activation": "gelu",
        "feat_proj_dropout": 0.0,
        "hidden_act": "swish",
        "hidden_dropout": 0.0,
        "hidden_size": DIM,
        "initializer_range": 0.02,
        "intermediate_size": 2 * DIM,
        "layer_norm_eps": 1e-5,
        "layerdrop": 0.0,
        "max_source_positions": 5000,
        "left_max_position_embeddings": 64,
        "num_conv_pos_embedding_groups": 16,
        "num_conv_pos_embeddings": 128,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "position_embeddings_type": "rotary",
        "rotary_embedding_base": 10_000,
    }
    muq = {
        "codebook_dim": 8,
        "codebook_size": 64,
        "conv_dim": 8,
        "encoder_depth": 3,
        "encoder_dim": DIM,
        "hop_length": 240,
        "label_rate": 25,
        "n_mels": 128,
        "stat": {"melspec_2048_mean": 6.77, "melspec_2048_std": 18.4},
        "w2v2_config": conformer,
    }
    transformer = {
        "dim": DIM,
        "tf_depth": 1,
        "heads": 4,
        "dim_head": 32,
        "attn_dropout": 0.0,
        "ff_dropout": 0.0,
        "ff_mult": 2,
    }
    mulan = {
        "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 64, "rank_contrast": False},
        "audio_model": {"name": "muq", "model_dim": DIM, "use_layer_idx": -1},
        "text_model": {"name": "xlm-roberta", "model_dim": DIM, "use_layer_idx": -1},
        "audio_transformer": transformer,
        "text_transformer": {**transformer, "max_seq_len": 512},
    }
    return muq, mulan


def build(folder: Path, tokenizer) -> Any:
    """Write the inner models to `folder` and return an untrained MuQ-MuLan over them."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    muq, mulan = configs()
    package = import_muq()
    package.MuQ(muq).save_pretrained(folder / "muq", config=muq)
    text = XLMRobertaConfig(
        vocab_size=len(tokenizer),
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=2 * DIM,
        max_position_embeddings=520,
        type_vocab_size=1,
        initializer_range=DIM**-0.5,  # 0.02 suits widths near 1,000: attention would stay flat
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with without_bars_of_transformers():
        XLMRobertaModel(text).save_pretrained(folder / "xlm-roberta")
    tokenizer.save_pretrained(folder / "xlm-roberta")
    for part in ("audio_model", "text_model"):
        mulan[part] = {**mulan[part], "name": str((folder / mulan[part]["name"]).resolve())}
    return package.MuQMuLan(mulan)


class Contrast(nn.Module):
    """A MuQ-MuLan, with the probes that its training needs beside it: one for each fact, and one for the severity.

    Parameters
    ----------
    mulan
        Towers.
    keys
        Number of keys that a further probe tells apart, 0 for no such probe.
    notes
        Number of things that a probe hears in each frame (`notes.py`), 0 for no such probe.
    """

    def __init__(self, mulan: Any, keys: int = 0, notes: int = 0):
        super().__init__()
        self.mulan: Any = mulan
        self.probes = nn.ModuleDict({name: nn.Linear(DIM, len(values)) for name, values in HEARD.items()})
        self.severity = nn.Linear(DIM, 1)
        if keys:
            self.probes["key"] = nn.Linear(DIM, keys)
        if notes:
            self.notes = nn.Linear(DIM, notes)

    def audio(self, mels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return unit latents [B, 64], pooled frames [B, DIM] and frames [B, N / 4, DIM] of mels [B, 128, N]."""
        tower = self.mulan.mulan.audio
        hidden = tower.model.model.encoder(mels)[1][-1]
        frames = tower.transformer(tower.proj(hidden))
        pooled = frames.mean(1)
        return functional.normalize(self.mulan.mulan.audio_to_latents(pooled), dim=-1), pooled, frames

    def text(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return unit latents [B, 64] of tokens [B, L] with their mask."""
        tower = self.mulan.mulan.text
        hidden = tower.model(input_ids=ids, attention_mask=mask).last_hidden_state
        frames = tower.transformer(tower.proj(hidden), mask=mask.bool()) * mask[..., None]
        pooled = frames.sum(1) / mask.sum(1, keepdim=True)
        return functional.normalize(self.mulan.mulan.text_to_latents(pooled), dim=-1)

    def words(self, tokenizer: Any, texts: list[str]) -> torch.Tensor:
        """Return unit latents [B, 64] of texts."""
        batch = tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")
        return self.text(batch["input_ids"], batch["attention_mask"])

    def contrast(self, audio: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Return the InfoNCE of latents in both directions.

        Parameters
        ----------
        audio
            Latents of sounds, [B, 64].
        words
            Latents [W, 64] of the words of each of them, and further ones that are wrong.
        """
        scale = self.mulan.mulan.contrast.temperatures.exp().clamp(max=50).squeeze()
        own = torch.arange(len(audio))
        there = functional.cross_entropy(scale * audio @ words.T, own)
        return there + functional.cross_entropy(scale * words[: len(audio)] @ audio.T, own)
