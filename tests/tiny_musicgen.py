"""A tiny MusicGen folder with a true EnCodec and random weights, in the format of the published models."""

from collections.abc import Sequence
from pathlib import Path
from string import printable
from typing import Any

from tests.tiny_stable_audio import t5_config


def build_tiny_musicgen(
    folder: Path,
    channels: int = 1,
    codebooks: int = 4,
    vocabulary: int = 64,
    width: int = 32,
    layers: int = 2,
    text_width: int = 24,
    sample_rate: int = 16_000,
    ratios: Sequence[int] = (8, 5, 4, 4),
    spectral: bool = False,
    positions: int = 512,
    melody: int = 0,
) -> Path:
    """Write the folder and return it.

    Parameters
    ----------
    folder
        Folder to write.
    channels
        1 or 2.
    codebooks, vocabulary
        Codebooks of a channel, and codes of a codebook.
    width, layers, text_width
        Width and layers of the decoder, and width of the text encoder.
    sample_rate, ratios
        Sample rate and strides of the codec, which makes sample_rate / prod(ratios) frames a second.
    spectral
        Whether the codec is the lab's instead of EnCodec.
    positions
        Longest sequence of the decoder.
    melody
        Frames of chroma that a MusicGen Melody takes; 0 is a plain MusicGen.
    """
    import math

    import torch

    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        MusicgenMelodyConfig,
        MusicgenMelodyDecoderConfig,
        MusicgenMelodyFeatureExtractor,
        MusicgenMelodyForConditionalGeneration,
    )

    from generators.musicgen.spectral_codec import SpectralCodecConfig

    tokenizer = character_tokenizer()
    text = t5_config(len(tokenizer), text_width)
    frame_rate = math.ceil(sample_rate / math.prod(ratios))
    codec: Any = EncodecConfig(
        sampling_rate=sample_rate,
        audio_channels=1,
        target_bandwidths=[codebooks * frame_rate * math.ceil(math.log2(vocabulary)) / 1000],
        codebook_size=vocabulary,
        codebook_dim=16,
        hidden_size=16,
        num_filters=4,
        upsampling_ratios=list(ratios),
        num_lstm_layers=1,
        use_causal_conv=False,
        use_conv_shortcut=False,
    )
    if spectral:
        codec = SpectralCodecConfig(
            sampling_rate=sample_rate,
            n_fft=math.prod(ratios),
            hop_length=math.prod(ratios) // 2,
            n_mels=16,
            frames_per_code=2,
            num_codebooks=codebooks,
            codebook_size=vocabulary,
            griffin_lim_iterations=2,
        )
    decoder = (MusicgenMelodyDecoderConfig if melody else MusicgenDecoderConfig)(
        vocab_size=vocabulary,
        max_position_embeddings=positions,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        ffn_dim=2 * width,
        num_codebooks=codebooks * channels,
        audio_channels=channels,
        initializer_factor=0.3,  # peaked enough that guidance, temperature and text change what is sampled
        pad_token_id=vocabulary,
        bos_token_id=vocabulary,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        configs = {"text_encoder": text, "audio_encoder": codec, "decoder": decoder}
        parts = {name: config.to_dict() for name, config in configs.items()}
        model: Any
        if melody:
            melody_config = MusicgenMelodyConfig(**parts, chroma_length=melody)
            model = MusicgenMelodyForConditionalGeneration(melody_config).eval()
        else:
            model = MusicgenForConditionalGeneration(MusicgenConfig(**parts)).eval()
        # fresh codebooks are all zeros: every code would sound the same
        if spectral:
            model.audio_encoder.codebooks.normal_(std=0.5)
        else:
            for quantizer in model.audio_encoder.quantizer.layers:
                quantizer.codebook.embed.normal_()
            with torch.no_grad():  # a fresh encoder hears hardly a difference
                model.audio_encoder.encoder.layers[-1].conv.parametrizations.weight.original0.mul_(100)
    generation = model.generation_config
    generation.decoder_start_token_id = generation.pad_token_id = generation.bos_token_id = vocabulary
    generation.guidance_scale = 3.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if melody:
        extractor: Any = MusicgenMelodyFeatureExtractor(
            sampling_rate=sample_rate, n_fft=1024, hop_length=512, chunk_length=2
        )
        extractor.save_pretrained(folder)
    return folder


def character_tokenizer(longest: int = 512) -> Any:
    """Return a tokenizer with a token a character, in the manner of T5: texts end with token 1."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = ["<pad>", "</s>", "<unk>", *sorted(set(printable))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=longest,
    )
