"""A tiny ACE-Step 1.5 folder with random weights, in the format of diffusers' `AceStepPipeline`."""

from pathlib import Path
from string import printable, whitespace
from typing import Any

from tests.tiny_stable_audio import tiny_oobleck

# so that the model's own words around a prompt are few tokens
_WORDS = (
    "Instruction Fill the audio semantic mask based on given conditions Caption Metas bpm N A timesignature keyscale "
    "duration seconds endoftext Languages en Lyric"
)


def build_tiny_ace_step(folder: Path) -> Path:
    """Write the folder and return it; the guidance is not in the weights."""
    import torch

    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    from diffusers import (
        AceStepConditionEncoder,
        AceStepPipeline,
        AceStepTransformer1DModel,
        FlowMatchEulerDiscreteScheduler,
    )
    from transformers import Qwen3Config, Qwen3Model

    latent, width, text_width = 6, 24, 16
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8}
    tokenizer = word_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=text_width,
            intermediate_size=2 * text_width,
            num_hidden_layers=2,
            **heads,
        )
        vae = tiny_oobleck(latent, (4, 4, 8), channels=2, sample_rate=2_000)
        transformer: Any = AceStepTransformer1DModel(
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            in_channels=3 * latent,
            audio_acoustic_hidden_dim=latent,
            sliding_window=2,
            encoder_hidden_size=width,
            is_turbo=False,
            **heads,
        )
        conditions: Any = AceStepConditionEncoder(
            hidden_size=width,
            intermediate_size=48,
            text_hidden_dim=text_width,
            timbre_hidden_dim=latent,
            num_lyric_encoder_hidden_layers=2,
            num_timbre_encoder_hidden_layers=2,
            sliding_window=8,
            **heads,
        )
        pipeline = AceStepPipeline(
            vae=vae.eval(),
            text_encoder=Qwen3Model(text).eval(),
            tokenizer=tokenizer,
            transformer=transformer.eval(),
            condition_encoder=conditions.eval(),
            scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1, shift=1.0),
        )
        with torch.no_grad():
            conditions.silence_latent.normal_(std=0.5)
            for layer in transformer.layers:
                layer.cross_attn.to_out[0].weight.mul_(4)
            audio = vae.decode(torch.randn(1, latent, 40)).sample
            vae.decoder.conv2.weight_g.mul_(0.2 / audio.std())  # of ordinary loudness
    pipeline.save_pretrained(folder)
    return folder


def word_tokenizer() -> Any:
    """Return a tokenizer that knows a few words and else spells."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(set(printable) - set(whitespace))
    pieces = ["<pad>", "<unk>", *_WORDS.split(), *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    model = models.WordPiece(vocabulary, unk_token="<unk>", max_input_chars_per_word=10_000)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
