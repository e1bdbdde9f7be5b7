"""How much the text of a prompt explains a clip, by the generator's own probabilities: a judge without a reward model.

    python -m reward.score --reward scaling.pmi:PMI --pool runs/best_of_n/pool
    ... --reward scaling.pmi:PMI --checkpoint facebook/musicgen-small --pool POOL

The pointwise mutual information of text x and codes c is log p(c | x) - log p(c), nats, here a code, so that length
does not count. ACE-Step 1.5 chooses among candidates by that of its language model. By Bayes it is as well how much
likelier the text has become by the clip: log p(x | c) - log p(x).
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch.nn.functional import log_softmax

from generators.musicgen.conditioning import TextConditioner
from generators.musicgen.delay_pattern import DelayPattern
from generators.musicgen.loading import MELODY, MODEL_TYPES, load_model
from generators.registry import NAMES
from generators.shared.model_folder import check_kind, find_folder, weights_hash
from music.candidate import Candidate
from music.clips import Clip
from music.devices import find_device, find_dtype
from music.errors import InputError
from music.hashing import canonical_json, sha256_text
from music.pool import Pool
from music.prompts import Prompt
from reward.protocol import Scorer, ScoreRequest

_ARITHMETIC = 1  # raise it with any change of the code that moves scores
#: of a clip that is decoded again: share of its level, and what files round away
_TOLERANCE, _QUIET = 0.05, 1e-4


class PMI(Scorer):
    """The pointwise mutual information of text and codes, nats a code, of clips in a pool that keeps their codes.

    Probabilities are the model's own, without guidance, temperature or a cut of the unlikely. A clip and its double
    without text are read together, and never with another clip.

    Parameters
    ----------
    checkpoint
        A plain MusicGen that transformers runs: a shipped name, folder or hub id. It must have the codec of the model
        that made the clips, and may be another model.
    device
        Device of the model: auto, cpu, cuda ...
    dtype
        Numeric type of its decoder: float32 or bfloat16.

    Raises
    ------
    InputError
        If there is no such model, or it is of another kind.
    """

    metrics = ("pmi",)

    def __init__(
        self, checkpoint: str = "lab-musicgen", device: str = "auto", dtype: str = "float32"
    ) -> None:
        backend, source = NAMES.get(checkpoint, ("transformers", checkpoint))
        folder = find_folder(checkpoint, source, MODEL_TYPES) if backend == "transformers" else None
        if folder is None or check_kind(folder, MODEL_TYPES) == MELODY:
            raise InputError(
                f"pmi reads codes by a plain MusicGen of transformers, which {checkpoint} is not"
            )
        self.name = f"pmi-{Path(checkpoint).name}"
        self.features = (Path(checkpoint).name,)
        self._model, tokenizer = load_model(folder, find_device(device), find_dtype(dtype))
        self._texts = TextConditioner(self._model, tokenizer)
        self._pools: dict[Path, tuple[Pool, dict[str, Candidate]]] = {}
        self._ours: dict[tuple[Path, str], bool] = {}
        decides = {
            "arithmetic": _ARITHMETIC,
            "weights": weights_hash(folder),
            "dtype": dtype,
            "versions": {name: version(name).split("+")[0] for name in ("torch", "transformers")},
        }
        self.hash = sha256_text(canonical_json(decides))

    def check_prompt(self, prompt: Prompt) -> None:
        """`InputError` for a prompt without text, or with too long a one; see `reward.protocol.Scorer`."""
        if not prompt.text.strip():
            raise InputError("pmi compares a clip with its text, and there is none")
        self._texts.check(prompt)

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, float]]:
        """Return the PMI of each request; see `reward.protocol.Scorer`."""
        return [{"pmi": self._score(request)} for request in requests]

    def _score(self, request: ScoreRequest) -> float:
        self.check_prompt(request.prompt)
        codes = self._codes(request.audio)
        with_text, without = self._log_probabilities(codes, request.prompt.text)
        return float((with_text - without).mean())

    def _codes(self, audio: object) -> torch.Tensor:
        """Return the codes `[K, T]` of a clip of a pool."""
        if not isinstance(audio, Path) or len(audio.parents) < 3:
            raise InputError("pmi reads the codes that a pool keeps beside its audio: score a pool (--pool)")
        folder = audio.parents[2]
        pool, candidate = self._candidate(folder, audio.relative_to(folder).as_posix())
        codes = pool.tokens(candidate)
        key = folder, candidate.spec
        if key not in self._ours:  # all of one spec are made by one codec
            self._ours[key] = self._makes(codes, pool.clip(candidate), candidate.gain)
        if not self._ours[key]:
            raise InputError(
                f"{self.features[0]} does not make {audio} of its tokens: give the model that made it as --checkpoint"
            )
        return codes.to(self._model.device, torch.long)

    @torch.no_grad()
    def _makes(self, codes: torch.Tensor, clip: Clip, gain: float) -> bool:
        """Return whether codes are some of this model, and become a clip by its codec."""
        decoder, codec = self._model.config.decoder, self._model.audio_encoder
        if codes.ndim != 2 or codes.is_floating_point() or clip.sample_rate != codec.config.sampling_rate:
            return False
        in_range = int(codes.min()) >= 0 and int(codes.max()) < decoder.vocab_size
        if not in_range or (len(codes), clip.channels) != (decoder.num_codebooks, decoder.audio_channels):
            return False
        own = codes.to(self._model.device, torch.long)
        sides = [
            codec.decode(own[None, None, side :: clip.channels], [None]) for side in range(clip.channels)
        ]
        heard = (
            torch.cat([side.audio_values.view(1, -1) for side in sides]).float().cpu()[:, : clip.samples]
            * gain
        )
        if heard.shape != clip.waveform.shape:
            return False
        return bool(
            (heard - clip.waveform).norm()
            <= _TOLERANCE * clip.waveform.norm() + _QUIET * heard.numel() ** 0.5
        )

    def _candidate(self, folder: Path, name: str) -> tuple[Pool, Candidate]:
        pool, known = self._pools.get(folder, (None, {}))
        if pool is None or name not in known:  # a pool may have grown since
            pool = Pool(folder)
            known = {one.file_name: one for one in pool}
            self._pools[folder] = pool, known
        if name not in known:
            raise InputError(f"{folder / name} is no clip of the pool {folder}")
        return pool, known[name]

    @torch.no_grad()
    def _log_probabilities(self, codes: torch.Tensor, text: str) -> torch.Tensor:
        """Return the log-probability of each code with and without the text, `[2, K, T]`, nats."""
        decoder, special = self._model.decoder, self._model.config.decoder.vocab_size
        pattern = DelayPattern(len(codes), self._model.config.decoder.audio_channels, codes.shape[1])
        delayed = pattern.delay(codes[None], special)
        begin = torch.full_like(delayed[:, :1], special)
        written = torch.cat([begin, delayed[:, :-1]], dim=1)  # [1, steps, K]
        states = self._texts.states(text)
        # without text its states are zeros, which cross-attention adds as zeros
        both = torch.cat([states, torch.zeros_like(states)]).to(decoder.dtype)
        hidden = decoder.model.decoder(
            input_ids=written.expand(2, -1, -1).transpose(1, 2).reshape(-1, pattern.steps),
            encoder_hidden_states=both,
            use_cache=False,
        ).last_hidden_state
        found = []
        for head, delay, chosen in zip(decoder.lm_heads, pattern.delays.tolist(), codes, strict=True):
            logits = head(hidden[:, delay : delay + pattern.frames]).double()
            found.append(log_softmax(logits, dim=-1).gather(-1, chosen.expand(2, -1)[..., None])[..., 0])
        return torch.stack(found, dim=1)
