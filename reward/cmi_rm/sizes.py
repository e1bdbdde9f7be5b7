"""The published size of MuQ-MuLan's towers, and towers of it with random weights or none: nothing to download."""

from dataclasses import dataclass
from typing import Any

from music.shapes import for_shapes, without_weights
from music.word_tokenizer import word_tokenizer
from reward.cmi_rm.checkpoint import CMIRM
from reward.cmi_rm.config import CMIRMConfig
from reward.cmi_rm.head import RewardHead
from reward.cmi_rm.scorer import CMIRMScorer
from reward.cmi_rm.towers import TowerFiles, Towers, build_towers


@dataclass(frozen=True)
class TowersSize:
    """Size of the towers of a MuQ-MuLan: MuQ's conformer, XLM-RoBERTa, and the transformers over both."""

    layers: int = 12
    heads: int = 16
    width: int = 1024
    convolution: int = 512  # channels in front of the conformer
    text_layers: int = 12
    text_width: int = 768
    depth: int = 8  # layers of the transformers
    dim: int = 768
    dim_heads: int = 8  # a head is 64 wide


TOWERS = {
    "muq-mulan-large": TowersSize(),
    "muq-mulan-tiny": TowersSize(1, 2, 32, 8, text_layers=1, text_width=64, depth=1, dim=64, dim_heads=1),
}


def random_towers(size: TowersSize, dtype: str = "float32") -> Towers:
    """Return the towers of a MuQ-MuLan in evaluation mode; `dtype` is what they compute in."""
    from transformers import Wav2Vec2ConformerConfig, XLMRobertaConfig

    transformer = {"dim": size.dim, "tf_depth": size.depth, "dim_head": 64, "heads": size.dim_heads}
    conformer = Wav2Vec2ConformerConfig(
        hidden_size=size.width,
        intermediate_size=4 * size.width,
        num_attention_heads=size.heads,
        num_hidden_layers=size.layers,
        conv_depthwise_kernel_size=31,
        position_embeddings_type="rotary",
        hidden_act="swish",
        layerdrop=0.0,
    )
    muq: dict[str, Any] = {
        "encoder_depth": size.layers,
        "encoder_dim": size.width,
        "conv_dim": size.convolution,
        "stat": {"melspec_2048_mean": 6.77, "melspec_2048_std": 18.4},
        "w2v2_config": {name: value for name, value in conformer.to_dict().items() if name != "id2label"},
    }
    text = XLMRobertaConfig(
        vocab_size=250_002,
        hidden_size=size.text_width,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.text_width // 64,
        intermediate_size=4 * size.text_width,
        max_position_embeddings=514,
        type_vocab_size=1,
    )
    mulan = {
        "audio_model": {"name": "random", "model_dim": size.width},
        "audio_transformer": transformer,
        "text_model": {"name": "random", "model_dim": size.text_width},
        "text_transformer": transformer,
    }
    files = TowerFiles(mulan, muq, text, word_tokenizer())
    if for_shapes():
        return Towers(files, {}, dtype=dtype)
    audio, words = build_towers(files)
    weights = {f"audio_module.{name}": value for name, value in audio.state_dict().items()}
    weights |= {f"text_module.{name}": value for name, value in words.state_dict().items()}
    return Towers(files, weights, dtype=dtype)


def shape_of_cmi_rm(size: TowersSize = TOWERS["muq-mulan-large"]) -> CMIRMScorer:
    """Return the published CMI-RM without weights, for its shapes alone (`music.shapes`)."""
    towers = random_towers(size)
    with without_weights():
        head = RewardHead(CMIRMConfig(dim=size.dim, heads=size.dim_heads)).eval()
    return CMIRMScorer(CMIRM(head.config, head, towers), device="meta")
