"""Trains the lab's MusicGen: a real `MusicgenForConditionalGeneration` over the spectral codec, with a small T5.

It learns instrumental songs. A quarter of them are badly played, which no caption mentions, so samples of the model
differ in true quality, as do those of a model trained on the world's recordings. The damage is in the notes and of half
strength: a small model that has learned noise, gaps and splices falls into them and does not come back. The T5 first
learns to read captions (`text_pretraining.py`), then both are trained together. Classifier-free guidance is learned by
hiding one caption in ten (MusicGen, Copet et al. 2023, section 3).

The beginning of a song tells nearly everything about how it goes on, so whole songs alone teach little about the
caption. Half of the codes of a batch are therefore openings, the first second or so of many songs, which only the
caption tells; and some songs are continued with part of what was heard forgotten.
"""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.lab.training.cached_rows import cached_rows
from experiments.lab.training.loop import Schedule, train
from experiments.lab.training.text_pretraining import SCHEDULE as READING
from experiments.lab.training.text_pretraining import Captions, named_values, pretrain_text, small_t5
from experiments.lab.world.corpus import Song, song, stream
from experiments.lab.world.damage import NOTE_DAMAGE
from experiments.lab.world.facts import draw_facts
from experiments.lab.world.vocabulary import t5_tokenizer
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.spectral_codec import SpectralCodecModel
from music.durable import claim_work, finished_folder
from music.progress import without_bars_of_transformers
from reward.cmi_rm.weights import hash_tensors

SECONDS = 5.0
SONGS = {"train": 12_000, "validation": 200}
CAPTIONS = 3  # phrasings of each song
MAX_TEXT = 64  # tokens
HIDDEN_CAPTIONS = 0.1
OPENINGS, OPENING = 2, 32  # openings for each song of a batch, and their steps
FORGETFUL = 0.3  # share of songs in which some steps, any share of them, are forgotten
DAMAGED = 0.5  # share of songs for which damage is drawn, of which only that of notes is kept
DAMAGE = 0.5  # share of the drawn strength that is kept
SCHEDULE = Schedule(steps=3_600, batch_size=16, learning_rate=1.5e-3)

#: tempo class -> beats per minute at which an eighth note fills 10, 7 or 5 frames of the codec
BPM = {"slow": 75.0, "medium": 750 / 7, "fast": 150.0}
#: what `training_song` depends on
RECIPE = {"bpm": BPM, "damaged": DAMAGED, "damage": DAMAGE, "kinds": list(NOTE_DAMAGE)}


def training_song(split: str, index: int) -> Song:
    """Return song `index` of this training; notes begin with a code frame, so that one onset sounds like another."""
    facts = draw_facts(stream(split, "musicgen", index, "facts"), vocals=False)
    one = song(split, "musicgen", index, SECONDS, facts, damaged=DAMAGED)
    damage = {kind: DAMAGE * strength for kind, strength in one.damage.items() if kind in NOTE_DAMAGE}
    return replace(one, damage=damage, bpm=BPM[facts.tempo])


def tokens_of_songs(codec: SpectralCodecModel, split: str, work: Path) -> torch.Tensor:
    """Return codes int16 [songs, K, T] of a split, from `work` if they were made before."""

    def codes(index: int) -> np.ndarray:
        wave = torch.from_numpy(training_song(split, index).waveform())
        return codec.encode(wave[None, None]).audio_codes[0, 0].short().numpy()

    return torch.from_numpy(cached_rows(codes, SONGS[split], work, f"codes_{split}"))


def captions_of_songs(tokenizer, split: str, longest: int) -> Captions:
    """Return `CAPTIONS` phrasings of each song of a split, one song after another, of at most `longest` tokens."""
    texts, facts = [], []
    for index in range(SONGS[split]):
        one = training_song(split, index)
        for turn in range(CAPTIONS):
            named = one.named_facts(turn)
            texts.append(one.caption(named, turn))
            facts.append(named_values(one.facts, named))
    batch = tokenizer(texts, padding="max_length", truncation=True, max_length=longest, return_tensors="pt")
    return Captions(batch["input_ids"], batch["attention_mask"], torch.tensor(facts))


def build(codec: SpectralCodecModel, vocabulary: int):
    """Return an untrained model: 4 layers x 256 over the codec's codebooks, a T5 encoder of 2 layers x 128."""
    from transformers import MusicgenConfig, MusicgenDecoderConfig, MusicgenForConditionalGeneration

    size, books = codec.config.codebook_size, codec.config.num_codebooks
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
        text_encoder=small_t5(vocabulary).to_dict(),
        audio_encoder=codec.config.to_dict(),
        decoder=decoder.to_dict(),
    )
    model = MusicgenForConditionalGeneration(config)
    model.audio_encoder.load_state_dict(codec.state_dict())
    _initialise(model)
    generation = model.generation_config
    generation.decoder_start_token_id = generation.pad_token_id = generation.bos_token_id = size
    generation.eos_token_id = None
    generation.do_sample, generation.guidance_scale = True, 3.0
    return model


def _initialise(model) -> None:
    """Draw the decoder's weights anew, to the scale that suits its width.

    transformers draws everything with deviation 0.02, which suits widths near 1,000: at 256 the position signal, twenty
    times as strong, drowns the embedded codes, and attention stays flat for a thousand steps. Here matrices get
    1 / sqrt(inputs), those that end a residual branch less (GPT-2, Radford et al. 2019), and a codebook's head
    starts as its scaled embedding, so that the untrained model expects each code to repeat, as it mostly does.
    """
    decoder = model.decoder
    branches = 3 * decoder.config.num_hidden_layers
    for name, weight in decoder.named_parameters():
        if weight.dim() == 2 and "embed" not in name and "lm_heads" not in name:
            ends_branch = name.endswith(("out_proj.weight", "fc2.weight"))
            nn.init.normal_(weight, std=(weight.shape[1] * (branches if ends_branch else 1)) ** -0.5)
    nn.init.normal_(model.enc_to_dec_proj.weight, std=model.enc_to_dec_proj.in_features**-0.5)
    for head, embedding in zip(decoder.lm_heads, decoder.model.decoder.embed_tokens, strict=True):
        nn.init.normal_(embedding.weight, std=0.5)
        head.weight.data.copy_(0.1 * embedding.weight.data[: head.out_features])


def predicted(
    model, codes, ids, mask, hidden, steps=None, forgotten=None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what the model expects of each step of the sampler, and what comes.

    Parameters
    ----------
    codes
        Codes of songs, [B, K, T].
    ids, mask
        Text tokens and their mask, [B, L].
    hidden
        Captions that the model does not see, boolean [B].
    steps
        Number of the sampler's steps to predict; all if None.
    forgotten
        Steps at which what was sampled before is not seen, boolean [B, steps].

    Returns
    -------
    tuple
        Logits [B, K, steps, V], and the codes [B, K, steps], which are the special token outside of the song.
    """
    pad = model.config.decoder.pad_token_id
    # position 0 holds the special token everywhere; position s + 1 what step s of the sampler predicts
    delayed = DelayPattern(codes.shape[1], 1, codes.shape[2]).delay(codes, pad).transpose(1, 2)
    target = delayed[..., :steps]
    seen = functional.pad(target, (1, 0), value=pad)[..., :-1]
    if forgotten is not None:
        seen = seen.masked_fill(forgotten[:, None], pad)
    states = (
        model.enc_to_dec_proj(model.text_encoder(input_ids=ids, attention_mask=mask)[0]) * mask[..., None]
    )
    states = states * ~hidden[:, None, None]
    logits = model.decoder(
        input_ids=seen.reshape(-1, seen.shape[-1]),
        encoder_hidden_states=states,
        encoder_attention_mask=mask,
        use_cache=False,
    ).logits.view(*target.shape, pad)
    return logits, target


def loss_on(model, codes, ids, mask, hidden, steps=None, forgotten=None) -> torch.Tensor:
    """Return the mean cross-entropy of each codebook, [K]; see `predicted`."""
    logits, target = predicted(model, codes, ids, mask, hidden, steps, forgotten)
    pad = model.config.decoder.pad_token_id
    losses = functional.cross_entropy(logits.permute(0, 3, 1, 2), target, ignore_index=pad, reduction="none")
    return losses.sum((0, 2)) / (target != pad).sum((0, 2))


def train_musicgen(
    output: Path,
    work: Path,
    codec: SpectralCodecModel,
    schedule: Schedule = SCHEDULE,
    reading: Schedule = READING,
) -> None:
    """Train, then save the model and its tokenizer to `output` in half precision."""
    claim_work(
        work,
        codec=hash_tensors(codec.state_dict()),
        songs={**SONGS, **RECIPE},
        captions={"phrasings": CAPTIONS, "longest": MAX_TEXT, "hidden": HIDDEN_CAPTIONS},
        batches={"openings": OPENINGS, "opening": OPENING, "forgetful": FORGETFUL},
        schedule=asdict(schedule),
        text=asdict(reading),
    )
    tokenizer = t5_tokenizer()
    torch.manual_seed(schedule.seed)
    model = build(codec, len(tokenizer))
    model.audio_encoder.requires_grad_(False)

    codes, held_codes = (tokens_of_songs(codec, split, work) for split in ("train", "validation"))
    captions, held = (captions_of_songs(tokenizer, split, MAX_TEXT) for split in ("train", "validation"))
    text = model.text_encoder
    pretrain_text(text, text.config.d_model, captions, held, work / "text", reading)

    # later residual stages are nearly noise: they must not drown the first, which carries notes and rhythm
    weights = 1 / torch.arange(1, codes.shape[1] + 1)
    weights = weights / weights.sum()

    def loss_of(rng: np.random.Generator, songs: int, steps: int) -> torch.Tensor:
        rows = torch.from_numpy(rng.integers(len(codes), size=songs))
        said = rows * CAPTIONS + torch.from_numpy(rng.integers(CAPTIONS, size=songs))
        hidden = torch.from_numpy(rng.random(songs) < HIDDEN_CAPTIONS)
        share = rng.random((songs, 1)) * (rng.random((songs, 1)) < FORGETFUL)
        forgotten = torch.from_numpy(rng.random((songs, steps)) < share)
        longest = int(captions.mask[said].sum(1).max())
        ids, mask = captions.ids[said, :longest], captions.mask[said, :longest]
        return loss_on(model, codes[rows].long(), ids, mask, hidden, steps, forgotten) @ weights

    def loss_of_step(rng: np.random.Generator, batch_size: int) -> torch.Tensor:
        whole = DelayPattern(codes.shape[1], 1, codes.shape[2]).steps
        # about as many codes in the openings as in the whole songs
        return (loss_of(rng, batch_size // 2, whole) + loss_of(rng, OPENINGS * batch_size, OPENING)) / 2

    def validate() -> dict[str, float]:
        losses: list[torch.Tensor] = []
        for start in range(0, len(held_codes), 50):
            part = held_codes[start : start + 50].long()
            said = CAPTIONS * torch.arange(start, start + len(part))
            seen = torch.zeros(len(part), dtype=torch.bool)
            losses.append(loss_on(model, part, held.ids[said], held.mask[said], seen))
        by_book = torch.stack(losses).mean(0)
        return {"validation_loss": by_book.mean().item(), "first_book": by_book[0].item()}

    train("musicgen", model, schedule, loss_of_step, validate, work)
    with finished_folder(output) as folder, without_bars_of_transformers():
        model.half().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
