"""MusicGens of the published sizes with random weights: as fast as the true ones, and nothing to download."""

from dataclasses import dataclass
from typing import Any

import torch

_LONGEST = 128  # tokens, to which Stable Audio pads its texts
TEXT = "a slow sad piano melody, no drums, recorded in an empty hall"


@dataclass(frozen=True)
class Size:
    """How large a MusicGen is.

    Attributes
    ----------
    layers, width, heads
        Of the decoder, whose inner layers are four times as wide.
    text_layers, text_width, text_heads
        Of the text encoder; the same, save that its heads are always 64 wide.
    filters
        Of the first layer of the codec.
    codes
        Of each of its four codebooks.
    """

    layers: int
    width: int
    heads: int
    text_layers: int = 12
    text_width: int = 768
    text_heads: int = 12
    filters: int = 64
    codes: int = 2048


SIZES = {
    "musicgen-tiny": Size(2, 32, 4, text_layers=1, text_width=64, text_heads=1, filters=4, codes=64),
    "musicgen-small": Size(24, 1024, 16),
    "musicgen-medium": Size(48, 1536, 24),
    "musicgen-large": Size(48, 2048, 32),
}


def random_musicgen(size: Size) -> tuple[Any, Any]:
    """Return a `MusicgenForConditionalGeneration` in evaluation mode, and a tokenizer that splits at spaces."""
    from music.library_repairs import repair_torchaudio

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
