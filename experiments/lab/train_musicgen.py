"""Trains the lab's MusicGen: a real `MusicgenForConditionalGeneration` over the spectral codec, with a small T5.

It learns instrumental songs. Half of them carry damage that no caption mentions, so what the model samples differs in
true quality, as it does for a model trained on the world's recordings; strengths are halved, since a small model
spends itself on learning noise. Classifier-free guidance is learned by hiding one caption
in ten (MusicGen, Copet et al. 2023, section 3).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from experiments.lab.cached_rows import cached_rows
from experiments.lab.corpus import Song, song, stream
from experiments.lab.facts import draw_facts
from experiments.lab.finished_folder import claim_work, finished_folder
from experiments.lab.training_loop import Schedule, train
from experiments.lab.vocabulary import t5_tokenizer
from generators.delay_pattern import DelayPattern
from generators.spectral_codec import SpectralCodecModel
from reward.cmi_rm.towers import hash_tensors

SECONDS = 5.0
SONGS = {"train": 10_000, "validation": 200}
CAPTIONS = 3  # phrasings of each song
MAX_TEXT = 64  # tokens
HIDDEN_CAPTIONS = 0.1
SCHEDULE = Schedule(steps=2_400, batch_size=16, learning_rate=1e-3)


def training_song(split: str, index: int) -> Song:
    """Return song `index` of this training."""
    facts = draw_facts(stream(split, "musicgen", index, "facts"), vocals=False)
    one = song(split, "musicgen", index, SECONDS, facts, damaged=0.5)
    return replace(one, damage={kind: 0.5 * strength for kind, strength in one.damage.items()})


def tokens_of_songs(codec: SpectralCodecModel, split: str, work: Path) -> torch.Tensor:
    """Return codes int16 [songs, K, T] of a split, from `work` where they were made before."""

    def codes(index: int) -> np.ndarray:
        wave = torch.from_numpy(training_song(split, index).waveform())
        return codec.encode(wave[None, None]).audio_codes[0, 0].short().numpy()

    return torch.from_numpy(cached_rows(codes, SONGS[split], work, f"codes_{split}"))


def build(codec: SpectralCodecModel, vocabulary: int):
    """Return an untrained model: 4 layers x 256 over the codec's codebooks, a T5 encoder of 2 layers x 128."""
    from transformers import MusicgenConfig, MusicgenDecoderConfig, MusicgenForConditionalGeneration, T5Config

    size, books = codec.config.codebook_size, codec.config.num_codebooks
    text = T5Config(
        vocab_size=vocabulary, d_model=128, d_kv=32, d_ff=256, num_layers=2, num_heads=4, dropout_rate=0.0
    )
    decoder = MusicgenDecoderConfig(
        vocab_size=size,
        max_position_embeddings=128,  # 5 s and the delays: the length it is trained on
        hidden_size=256,
        num_hidden_layers=4,
        num_attention_heads=8,
        ffn_dim=1024,
        num_codebooks=books,
        audio_channels=1,
        pad_token_id=size,
        bos_token_id=size,
        eos_token_id=None,
        dropout=0.1,
        attention_dropout=0.0,
        activation_dropout=0.0,
    )
    config = MusicgenConfig(
        text_encoder=text.to_dict(), audio_encoder=codec.config.to_dict(), decoder=decoder.to_dict()
    )
    model = MusicgenForConditionalGeneration(config)
    model.audio_encoder.load_state_dict(codec.state_dict())
    generation = model.generation_config
    generation.decoder_start_token_id = generation.pad_token_id = generation.bos_token_id = size
    generation.eos_token_id = None
    generation.do_sample, generation.guidance_scale = True, 3.0
    return model


def loss_on(model, codes, ids, mask, hidden) -> torch.Tensor:
    """Return the mean cross-entropy of each codebook, [K].

    Parameters
    ----------
    codes
        [B, K, T].
    ids, mask
        Text tokens and their mask, [B, L].
    hidden
        Boolean [B]: captions that the model does not see.
    """
    pad = model.config.decoder.pad_token_id
    # position 0 holds the special token everywhere; position s + 1 what step s of the sampler predicts
    predicted = DelayPattern(codes.shape[1], 1, codes.shape[2]).delay(codes, pad).transpose(1, 2)
    delayed = functional.pad(predicted, (1, 0), value=pad)
    states = (
        model.enc_to_dec_proj(model.text_encoder(input_ids=ids, attention_mask=mask)[0]) * mask[..., None]
    )
    states = states * ~hidden[:, None, None]
    logits = model.decoder(
        input_ids=delayed[..., :-1].reshape(-1, delayed.shape[-1] - 1),
        encoder_hidden_states=states,
        encoder_attention_mask=mask,
        use_cache=False,
    ).logits.view(*delayed.shape[:2], -1, pad)
    target = delayed[..., 1:]
    losses = functional.cross_entropy(logits.permute(0, 3, 1, 2), target, ignore_index=pad, reduction="none")
    return losses.sum((0, 2)) / (target != pad).sum((0, 2))


def train_musicgen(
    output: Path, work: Path, codec: SpectralCodecModel, schedule: Schedule = SCHEDULE
) -> None:
    """Train, then save the model and its tokenizer to `output` in half precision."""
    claim_work(work, codec=hash_tensors(codec.state_dict()), songs=SONGS, schedule=asdict(schedule))
    tokenizer = t5_tokenizer()
    torch.manual_seed(schedule.seed)
    model = build(codec, len(tokenizer))
    model.audio_encoder.requires_grad_(False)

    def words(split: str) -> tuple[torch.Tensor, torch.Tensor]:
        songs = [training_song(split, index) for index in range(SONGS[split])]
        captions = [one.caption(one.named_facts(turn), turn) for one in songs for turn in range(CAPTIONS)]
        batch = tokenizer(
            captions, padding="max_length", truncation=True, max_length=MAX_TEXT, return_tensors="pt"
        )
        shape = (len(songs), CAPTIONS, MAX_TEXT)
        return batch["input_ids"].view(shape), batch["attention_mask"].view(shape)

    codes, (ids, mask) = tokens_of_songs(codec, "train", work), words("train")
    held_codes, (held_ids, held_mask) = tokens_of_songs(codec, "validation", work), words("validation")

    # later residual stages are nearly noise: they shall not drown the first, which carries notes and rhythm
    weights = 1 / torch.arange(1, codes.shape[1] + 1)
    weights = weights / weights.sum()

    def loss_of_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        rows = torch.from_numpy(rng.integers(len(codes), size=batch_size))
        turn = torch.from_numpy(rng.integers(CAPTIONS, size=batch_size))
        hidden = torch.from_numpy(rng.random(batch_size) < HIDDEN_CAPTIONS)
        longest = int(mask[rows, turn].sum(1).max())
        losses = loss_on(
            model, codes[rows].long(), ids[rows, turn, :longest], mask[rows, turn, :longest], hidden
        )
        return losses @ weights

    def validate() -> dict[str, float]:
        losses: list[torch.Tensor] = []
        for start in range(0, len(held_codes), 50):
            part = slice(start, start + 50)
            seen = torch.zeros(len(held_codes[part]), dtype=torch.bool)
            losses.append(
                loss_on(model, held_codes[part].long(), held_ids[part, 0], held_mask[part, 0], seen)
            )
        by_book = torch.stack(losses).mean(0)
        return {"validation_loss": by_book.mean().item(), "first_book": by_book[0].item()}

    train("musicgen", model, schedule, loss_of_step, validate, work)
    with finished_folder(output) as folder:
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
