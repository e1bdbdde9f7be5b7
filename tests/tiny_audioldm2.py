"""A tiny AudioLDM 2 folder with random weights, in the format of diffusers' `AudioLDM2Pipeline`."""

from pathlib import Path
from typing import Any

from tests.tiny_stable_audio import t5_config, t5_tokenizer

LONGEST = 128  # tokens of a text


def build_tiny_audioldm2(folder: Path) -> Path:
    """Write the folder and return it."""
    import torch

    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    from diffusers import (
        AudioLDM2Pipeline,
        AudioLDM2ProjectionModel,
        AudioLDM2UNet2DConditionModel,
        AutoencoderKL,
        DDIMScheduler,
    )
    from transformers import (
        ClapConfig,
        ClapFeatureExtractor,
        ClapModel,
        GPT2Config,
        GPT2LMHeadModel,
        SpeechT5HifiGan,
        SpeechT5HifiGanConfig,
        T5EncoderModel,
    )

    clap_tokenizer, tokenizer = roberta_tokenizer(), t5_tokenizer(LONGEST)
    clap_width, text_width, width = 12, 24, 16
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clap = ClapConfig(
            text_config={
                "vocab_size": len(clap_tokenizer),
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 2,
                "max_position_embeddings": LONGEST + 2,
                "pad_token_id": clap_tokenizer.pad_token_id,
                "projection_dim": clap_width,
            },
            audio_config={
                "spec_size": 8,
                "window_size": 4,
                "num_mel_bins": 8,
                "depths": [1, 1],
                "num_attention_heads": [1, 1],
                "num_hidden_layers": 2,
                "hidden_size": 192,
                "projection_dim": clap_width,
                "patch_size": 2,
                "patch_stride": 2,
                "patch_embed_input_channels": 4,
            },
            projection_dim=clap_width,
        )
        gpt2 = GPT2Config(
            vocab_size=10, n_positions=LONGEST + 20, n_embd=width, n_layer=2, n_head=2, max_new_tokens=8
        )
        unet: Any = AudioLDM2UNet2DConditionModel(
            sample_size=256,
            block_out_channels=(8, 16),
            layers_per_block=1,
            norm_num_groups=8,
            in_channels=4,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            cross_attention_dim=([None, width, text_width], [None, width, text_width]),
            attention_head_dim=8,
        )
        vae = AutoencoderKL(
            in_channels=1,
            out_channels=1,
            block_out_channels=(8, 16),
            norm_num_groups=8,
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
            latent_channels=4,
        )
        vocoder = SpeechT5HifiGan(
            SpeechT5HifiGanConfig(
                model_in_dim=8,
                sampling_rate=1_000,
                upsample_initial_channel=16,
                upsample_rates=[4, 2],
                upsample_kernel_sizes=[8, 4],
                resblock_kernel_sizes=[3, 7],
                resblock_dilation_sizes=[[1, 3, 5], [1, 3, 5]],
                normalize_before=False,
                initializer_range=0.2,
            )
        )
        pipeline = AudioLDM2Pipeline(
            vae=vae.eval(),
            text_encoder=ClapModel(clap).eval(),
            text_encoder_2=T5EncoderModel(t5_config(len(tokenizer), text_width)).eval(),
            projection_model=AudioLDM2ProjectionModel(clap_width, text_width, width).eval(),
            language_model=GPT2LMHeadModel(gpt2).eval(),
            tokenizer=clap_tokenizer,
            tokenizer_2=tokenizer,
            feature_extractor=ClapFeatureExtractor(feature_size=8),
            unet=unet.eval(),
            scheduler=DDIMScheduler(
                beta_start=0.0015,
                beta_end=0.0195,
                beta_schedule="scaled_linear",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
            ),
            vocoder=vocoder.eval(),
        )
    pipeline.save_pretrained(folder)
    return folder


def roberta_tokenizer() -> Any:
    """Return a tokenizer of RoBERTa's own class that knows no words, only bytes."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import RobertaTokenizer

    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(ByteLevel.alphabet())]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    return RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=LONGEST)
