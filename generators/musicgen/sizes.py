"""The published sizes of MusicGen, and models of them with random weights or none: nothing to download."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from generators.musicgen.conditioning import MelodyConditioner, TextConditioner
from generators.musicgen.generator import MusicGen
from generators.musicgen.sampling import SamplingOptions
from generators.shared.model_loading import loading
from music.devices import find_dtype
from music.library_repairs import repair_torchaudio
from music.shapes import WEIGHTLESS, without_weights
from music.word_tokenizer import word_tokenizer

_CHROMA = 235  # frames
_LONGEST_TEXT = 512  # tokens


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
    channels: int = 1
    chroma: int = 0  # length of the melody that it goes on from


MUSICGENS = {
    "musicgen-tiny": MusicGenSize(2, 32, 4, text_layers=1, text_width=64, text_heads=1, filters=4, codes=64),
    "musicgen-small": MusicGenSize(24, 1024, 16),
    "musicgen-medium": MusicGenSize(48, 1536, 24),
    "musicgen-large": MusicGenSize(48, 2048, 32),
    "musicgen-stereo-small": MusicGenSize(24, 1024, 16, channels=2),
    "musicgen-stereo-medium": MusicGenSize(48, 1536, 24, channels=2),
    "musicgen-stereo-large": MusicGenSize(48, 2048, 32, channels=2),
    "musicgen-melody": MusicGenSize(48, 1536, 24, chroma=_CHROMA),
    "musicgen-melody-large": MusicGenSize(48, 2048, 32, chroma=_CHROMA),
    "musicgen-stereo-melody": MusicGenSize(48, 1536, 24, channels=2, chroma=_CHROMA),
    "musicgen-stereo-melody-large": MusicGenSize(48, 2048, 32, channels=2, chroma=_CHROMA),
}


def random_musicgen(size: MusicGenSize) -> tuple[Any, Any]:
    """Return a model in evaluation mode, and a tokenizer that splits at spaces.

    It is a `MusicgenForConditionalGeneration`, or a `MusicgenMelodyForConditionalGeneration` if the size has a chroma.
    """
    repair_torchaudio()
    import transformers
    from transformers import EncodecConfig, T5Config

    family = f"Musicgen{'Melody' if size.chroma else ''}"
    whole, config_of, decoder_config = (
        getattr(transformers, f"{family}{part}")
        for part in ("ForConditionalGeneration", "Config", "DecoderConfig")
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
    decoder = decoder_config(
        vocab_size=size.codes,
        num_hidden_layers=size.layers,
        hidden_size=size.width,
        num_attention_heads=size.heads,
        ffn_dim=4 * size.width,
        num_codebooks=4 * size.channels,
        audio_channels=size.channels,
        pad_token_id=size.codes,
        bos_token_id=size.codes,
    )
    parts = {"text_encoder": text.to_dict(), "audio_encoder": codec.to_dict(), "decoder": decoder.to_dict()}
    torch.manual_seed(0)
    model = whole(config_of(**parts, **({"chroma_length": size.chroma} if size.chroma else {}))).eval()
    for quantizer in model.audio_encoder.quantizer.layers:
        quantizer.codebook.embed.normal_()  # fresh ones are all zeros
    generation = model.generation_config
    generation.decoder_start_token_id = generation.pad_token_id = generation.bos_token_id = size.codes
    return model, word_tokenizer(_LONGEST_TEXT)


def shape_of_musicgen(name: str, dtype: str, batch_size: int = 16, **sampling: Any) -> MusicGen:
    """Return a published MusicGen without weights; see `generators.published.load_shape`."""
    size = MUSICGENS[name.rpartition("/")[2]]
    with loading(Path(name), "MusicGen"), without_weights():
        model, tokenizer = random_musicgen(size)
    model.decoder.to(find_dtype(dtype))
    options = SamplingOptions(**sampling)
    conditioner: TextConditioner | MelodyConditioner
    if size.chroma:
        conditioner = MelodyConditioner(model, tokenizer, None, options.guidance > 1)
    else:
        conditioner = TextConditioner(model, tokenizer)
    return MusicGen(name, model, conditioner, WEIGHTLESS, options, batch_size)
