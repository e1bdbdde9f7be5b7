"""Models of the published sizes with random weights: as fast as the true ones, and nothing to download."""

from dataclasses import dataclass
from typing import Any

import torch

from generators.stable_audio.diffusers.loading import StableAudioParts
from music.library_repairs import repair_torchaudio
from reward.cmi_rm.towers import TowerFiles, Towers, build_towers

_LONGEST = 128  # tokens, to which Stable Audio pads its texts
TEXT = "a slow sad piano melody, no drums, recorded in an empty hall"


@dataclass(frozen=True)
class MusicGenSize:
    """Size of a MusicGen; inner layers are four times as wide, and heads of the text encoder are 64 wide."""

    layers: int
    width: int
    heads: int
    text_layers: int = 12
    text_width: int = 768
    text_heads: int = 12
    filters: int = 64  # channels of the codec's first layer
    codes: int = 2048  # entries of each of its four codebooks


@dataclass(frozen=True)
class StableAudioSize:
    """Size of a Stable Audio; heads are 64 wide, and conditions are as wide as the text encoder."""

    layers: int = 24
    heads: int = 24
    key_heads: int = 12  # heads of keys and values in cross-attention
    frames: int = 1024  # length of the latents
    latent: int = 64  # channels of the latents
    text_layers: int = 12
    width: int = 768
    channels: int = 128  # channels of the autoencoder's last layer


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


MUSICGENS = {
    "musicgen-tiny": MusicGenSize(2, 32, 4, text_layers=1, text_width=64, text_heads=1, filters=4, codes=64),
    "musicgen-small": MusicGenSize(24, 1024, 16),
    "musicgen-medium": MusicGenSize(48, 1536, 24),
    "musicgen-large": MusicGenSize(48, 2048, 32),
}
STABLE_AUDIOS = {
    "stable-audio-tiny": StableAudioSize(1, 2, 1, frames=64, latent=8, text_layers=1, width=64, channels=4),
    "stable-audio-open-1.0": StableAudioSize(),
}
TOWERS = {
    "muq-mulan-large": TowersSize(),
    "muq-mulan-tiny": TowersSize(1, 2, 32, 8, text_layers=1, text_width=64, depth=1, dim=64, dim_heads=1),
}


def random_musicgen(size: MusicGenSize) -> tuple[Any, Any]:
    """Return a `MusicgenForConditionalGeneration` in evaluation mode, and a tokenizer that splits at spaces."""
    repair_torchaudio()
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    text = T5Config(
        d_model=size.text_width,
        d_ff=4 * size.text_width,
        num_layers=size.text_layers,
        num_heads=size.text_heads,
        pad_token_id=0,
        eos_token_id=1,
    )
    codec = EncodecConfig(
        sampling_rate=32_000,
        target_bandwidths=[4 * 50 * (size.codes.bit_length() - 1) / 1000],
        codebook_size=size.codes,
        num_filters=size.filters,
        upsampling_ratios=[8, 5, 4, 4],
        use_causal_conv=False,
        use_conv_shortcut=False,
    )
    decoder = MusicgenDecoderConfig(
        vocab_size=size.codes,
        num_hidden_layers=size.layers,
        hidden_size=size.width,
        num_attention_heads=size.heads,
        ffn_dim=4 * size.width,
        pad_token_id=size.codes,
        bos_token_id=size.codes,
    )
    config = MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.to_dict(), decoder=decoder.to_dict()
    )
    torch.manual_seed(0)
    model = MusicgenForConditionalGeneration(config).eval()
    for quantizer in model.audio_encoder.quantizer.layers:
        quantizer.codebook.embed.normal_()  # fresh ones are all zeros
    generation = model.generation_config
    generation.decoder_start_token_id = generation.pad_token_id = generation.bos_token_id = size.codes
    return model, random_tokenizer()


def random_stable_audio(size: StableAudioSize) -> StableAudioParts:
    """Return the parts of a `StableAudioPipeline` in evaluation mode, float32."""
    repair_torchaudio()
    from diffusers import AutoencoderOobleck, CosineDPMSolverMultistepScheduler, StableAudioDiTModel
    from diffusers.pipelines.stable_audio.modeling_stable_audio import StableAudioProjectionModel
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    text = T5Config(
        d_model=size.width, d_ff=4 * size.width, num_layers=size.text_layers, num_heads=size.width // 64
    )
    transformer: Any = StableAudioDiTModel(
        sample_size=size.frames,
        in_channels=size.latent,
        out_channels=size.latent,
        num_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_attention_heads=size.key_heads,
        cross_attention_dim=64 * size.key_heads,
        global_states_input_dim=2 * size.width,
        cross_attention_input_dim=size.width,
    )
    vae: Any = AutoencoderOobleck(
        encoder_hidden_size=size.channels,
        decoder_channels=size.channels,
        decoder_input_channels=size.latent,
    )
    return StableAudioParts(
        vae.eval(),
        T5EncoderModel(text).eval(),
        StableAudioProjectionModel(size.width, size.width, 0, 512).eval(),
        transformer.eval(),
        CosineDPMSolverMultistepScheduler(),
        random_tokenizer(),
    )


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
    files = TowerFiles(mulan, muq, text, random_tokenizer())
    audio, words = build_towers(files)
    weights = {f"audio_module.{name}": value for name, value in audio.state_dict().items()}
    weights |= {f"text_module.{name}": value for name, value in words.state_dict().items()}
    return Towers(files, weights, dtype=dtype)


def random_tokenizer() -> Any:
    """Return a tokenizer that splits at spaces and knows no word."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(["<pad>", "</s>", "<unk>"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=_LONGEST,
    )
