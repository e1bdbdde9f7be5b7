"""A tiny Stable Audio 3 folder with random weights, in the format of diffusers' `StableAudio3Pipeline`."""

from pathlib import Path
from typing import Any

from tests.tiny_musicgen import character_tokenizer


def build_tiny_stable_audio_3(folder: Path, stochastic: bool = True) -> Path:
    """Write the folder and return it.

    Parameters
    ----------
    folder
        Folder to write.
    stochastic
        Whether the steps renoise, as those of the distilled models do.
    """
    import torch

    from music.library_repairs import repair_torchaudio

    repair_torchaudio()
    from diffusers import (
        AutoencoderSAME,
        FlowMatchEulerDiscreteScheduler,
        StableAudio3DiTModel,
        StableAudio3DurationEmbedder,
        StableAudio3Pipeline,
    )
    from transformers import T5GemmaConfig, T5GemmaEncoderModel

    latent, width = 6, 24
    tokenizer = character_tokenizer()
    tower = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "sliding_window": 64,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        text = T5GemmaConfig(
            encoder=dict(tower), decoder=dict(tower), is_encoder_decoder=False, vocab_size=len(tokenizer)
        )
        vae: Any = AutoencoderSAME(
            audio_channels=2,
            patch_size=8,
            encoder_channels=8,
            encoder_c_mults=(3,),
            encoder_strides=(4,),
            encoder_transformer_depths=(2,),
            latent_dim=latent,
            dim_heads=8,
            sampling_rate=2_000,
        )
        transformer: Any = StableAudio3DiTModel(
            io_channels=latent,
            embed_dim=32,
            depth=2,
            num_heads=4,
            cond_token_dim=width,
            global_cond_dim=width,
            local_add_cond_dim=latent + 1,
            timestep_features_dim=16,
            num_memory_tokens=4,
        )
        pipeline = StableAudio3Pipeline(
            vae=vae.eval(),
            text_encoder=T5GemmaEncoderModel(text).eval(),
            tokenizer=tokenizer,
            duration_embedder=StableAudio3DurationEmbedder(output_dim=width, fourier_dim=16, max_val=20.0),
            transformer=transformer.eval(),
            scheduler=FlowMatchEulerDiscreteScheduler(
                num_train_timesteps=1, shift=1.0, stochastic_sampling=stochastic
            ),
        )
        with torch.no_grad():
            # what starts at zero, for training, would hide mistakes
            for block in vae.decoder.blocks:
                block.new_tokens.normal_(std=0.5)
                for layer in block.transformers:
                    layer.attn.to_out.weight.normal_(std=0.3)
                    layer.ff.proj_out.weight.normal_(std=0.3)
            transformer.prompt_padding_embedding.normal_()
            for convolution in (transformer.preprocess_conv, transformer.postprocess_conv):
                convolution.weight.normal_(std=0.2)
            for block in transformer.transformer_blocks:
                block.cross_attn.to_out.weight.mul_(4)
            audio = vae.decode(torch.randn(1, latent, 40)).sample
            vae.decoder.blocks[-1].mapping.weight_g.mul_(0.2 / audio.std())  # of ordinary loudness
    pipeline.save_pretrained(folder)
    return folder
