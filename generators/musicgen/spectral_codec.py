"""A small audio codec that is fitted in seconds: log-mel frames, residual k-means, Griffin-Lim.

It has the interface of a transformers codec (`encode` to codes, `decode` to audio) and is registered with
`AutoModel`, so an ordinary `MusicgenForConditionalGeneration` can carry it as its `audio_encoder`. A code frame
stands for `frames_per_code` neighbouring log-mel frames. Decoding refines the mel inversion multiplicatively and
then estimates phases by the fast Griffin-Lim algorithm (Perraudin et al. 2013) from fixed initial phases, so the
same codes always give the same audio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn

from music.library_repairs import repair_torchaudio

repair_torchaudio()  # transformers' codecs probe for torchaudio when they are imported

from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel  # noqa: E402
from transformers.audio_utils import mel_filter_bank  # noqa: E402
from transformers.utils import ModelOutput  # noqa: E402

LOG_FLOOR = 1e-4  # magnitudes below it are silence


@dataclass
class EncodedAudio(ModelOutput):
    """What `encode` returns: codes [1, B, K, T], and no scales, under the names of transformers' codecs."""

    audio_codes: torch.Tensor
    audio_scales: Any = None


@dataclass
class DecodedAudio(ModelOutput):
    """What `decode` returns: audio [B, 1, S]."""

    audio_values: torch.Tensor


class SpectralCodecConfig(PreTrainedConfig):
    """Configuration of `SpectralCodecModel`.

    Parameters
    ----------
    sampling_rate
        Hz.
    n_fft, hop_length
        Window and hop of the short-time Fourier transform, in samples.
    n_mels
        Mel bands between `min_frequency` (Hz) and half the sampling rate.
    frames_per_code
        Neighbouring log-mel frames coded together: the codes run at sampling_rate / hop_length / frames_per_code Hz.
    num_codebooks, codebook_size
        Residual stages and entries of each.
    griffin_lim_iterations
        Phase iterations when decoding.
    """

    model_type = "spectral_codec"

    def __init__(
        self,
        sampling_rate: int = 16_000,
        n_fft: int = 2048,
        hop_length: int = 640,
        n_mels: int = 128,
        min_frequency: float = 30.0,
        frames_per_code: int = 1,
        num_codebooks: int = 4,
        codebook_size: int = 512,
        griffin_lim_iterations: int = 24,
        audio_channels: int = 1,
        **kwargs,
    ):
        self.sampling_rate = sampling_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.min_frequency = min_frequency
        self.frames_per_code = frames_per_code
        self.num_codebooks = num_codebooks
        self.codebook_size = codebook_size
        self.griffin_lim_iterations = griffin_lim_iterations
        self.audio_channels = audio_channels
        super().__init__(**kwargs)

    @property
    def samples_per_code(self) -> int:
        """Audio samples that one code frame stands for."""
        return self.hop_length * self.frames_per_code

    @property
    def frame_rate(self) -> float:
        """Code frames per second."""
        return self.sampling_rate / self.samples_per_code

    @property
    def num_quantizers(self) -> int:
        """Codebooks, under the name by which transformers' codecs call it."""
        return self.num_codebooks


class _MelFilters(NamedTuple):
    """The filter bank and what inverts it.

    Attributes
    ----------
    bank
        [n_mels, n_fft // 2 + 1].
    pseudo_inverse
        [n_fft // 2 + 1, n_mels].
    sparse
        The bank without its zeros, which are most of it.
    sparse_mean
        [n_fft // 2 + 1, n_mels], likewise: the mean over the bands to which a bin belongs.
    """

    bank: torch.Tensor
    pseudo_inverse: torch.Tensor
    sparse: torch.Tensor
    sparse_mean: torch.Tensor


@lru_cache(maxsize=8)
def _mel_filters(n_fft: int, n_mels: int, low: float, rate: int, device: torch.device) -> _MelFilters:
    bank = mel_filter_bank(n_fft // 2 + 1, n_mels, low, rate / 2, rate, norm=None, mel_scale="slaney")
    filters = torch.tensor(bank.T, dtype=torch.float64)
    mean = filters.T / (filters.sum(0)[:, None] + 1e-6)
    return _MelFilters(
        filters.float().to(device),
        torch.linalg.pinv(filters).float().to(device),
        filters.float().to(device).to_sparse(),
        mean.float().to(device).to_sparse(),
    )


@lru_cache(maxsize=8)
def _initial_phases(count: int, bins: int, device: torch.device) -> torch.Tensor:
    """Return complex numbers [count, bins] of magnitude 1, always the same."""
    angle = 2 * math.pi * torch.rand((bins, count), generator=torch.Generator().manual_seed(0))
    return torch.polar(torch.ones(()), angle.T).contiguous().to(device)


class SpectralCodecModel(PreTrainedModel):
    """Codec between audio [B, 1, S] and codes [1, B, K, T]; see the module's docstring."""

    config_class = SpectralCodecConfig
    main_input_name = "input_values"

    def __init__(self, config: SpectralCodecConfig):
        super().__init__(config)
        dimension = config.n_mels * config.frames_per_code
        self.mean = nn.Parameter(torch.zeros(dimension), requires_grad=False)
        self.codebooks = nn.Parameter(
            torch.zeros(config.num_codebooks, config.codebook_size, dimension), requires_grad=False
        )
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the zeros: codebooks are fitted, not initialised."""

    def _filters(self) -> _MelFilters:
        config = self.config
        return _mel_filters(
            config.n_fft, config.n_mels, config.min_frequency, config.sampling_rate, self.mean.device
        )

    def _window(self) -> torch.Tensor:
        return torch.hann_window(self.config.n_fft, device=self.mean.device)

    def frames(self, audio: torch.Tensor) -> torch.Tensor:
        """Return the log-mel vectors to be coded.

        Parameters
        ----------
        audio
            [B, S], in [-1, 1]; the tail that fills no code frame is padded with silence.

        Returns
        -------
        torch.Tensor
            [B, T, n_mels * frames_per_code] with T = ceil(S / samples_per_code).
        """
        config = self.config
        count = math.ceil(audio.shape[-1] / config.samples_per_code)
        wanted = count * config.samples_per_code
        # shorter audio than half a window cannot be mirrored at its ends
        padded = max(wanted, config.n_fft // 2 + 1)
        audio = nn.functional.pad(audio, (0, padded - audio.shape[-1]))
        spectrum = torch.stft(
            audio.float(), config.n_fft, config.hop_length, window=self._window(), return_complex=True
        )
        heard = spectrum.abs()[..., : wanted // config.hop_length]  # the centred last frame belongs to nobody
        mel = self._filters().bank @ heard
        return mel.clamp(min=LOG_FLOOR).log().transpose(1, 2).reshape(len(audio), count, -1)

    def codes_of(self, frames: torch.Tensor) -> torch.Tensor:
        """Return codes [B, K, T] of log-mel vectors [B, T, D]: the nearest entry of each residual stage."""
        residual = (frames - self.mean.float()).reshape(-1, frames.shape[-1])
        codes = []
        for book in self.codebooks.float():
            nearest = (residual @ book.T - 0.5 * book.square().sum(1)).argmax(1)
            residual = residual - book[nearest]
            codes.append(nearest.view(frames.shape[:2]))
        return torch.stack(codes, 1)

    def frames_of(self, codes: torch.Tensor) -> torch.Tensor:
        """Return log-mel vectors [B, T, D] of codes [B, K, T]."""
        stages = [book[codes[:, stage]] for stage, book in enumerate(self.codebooks.float())]
        return self.mean.float() + torch.stack(stages).sum(0)

    def encode(
        self, input_values: torch.Tensor, padding_mask: torch.Tensor | None = None, **_unused: object
    ) -> EncodedAudio:
        """Encode audio [B, 1, S]; the mask is not needed, silence is coded as silence."""
        codes = self.codes_of(self.frames(input_values[:, 0]))
        return EncodedAudio(audio_codes=codes[None], audio_scales=[None])

    def decode(
        self,
        audio_codes: torch.Tensor,
        audio_scales: object = None,
        padding_mask: torch.Tensor | None = None,
        return_dict: bool | None = None,
        **_unused: object,
    ) -> DecodedAudio:
        """Decode codes [1, B, K, T] to audio [B, 1, T * samples_per_code]."""
        frames = self.frames_of(audio_codes[0])
        batch, wanted, _ = frames.shape
        # shorter audio than half a window cannot be mirrored at its ends
        count = max(wanted, self.config.n_fft // 2 // self.config.samples_per_code + 1)
        frames = torch.cat([frames, frames[:, -1:].expand(-1, count - wanted, -1)], 1)
        mel = frames.reshape(batch, count * self.config.frames_per_code, -1).transpose(1, 2).exp()
        mel = torch.cat([mel, mel[..., -1:]], -1)  # the frame centred on the very end
        audio = self._griffin_lim(self._invert_mel(mel), count * self.config.samples_per_code)
        return DecodedAudio(audio_values=audio[:, None, : wanted * self.config.samples_per_code])

    def _invert_mel(self, mel: torch.Tensor) -> torch.Tensor:
        """Return non-negative magnitudes [B, N, F] whose mel spectrum is near the given [B, n_mels, N]."""
        filters = self._filters()
        batch, bands, count = mel.shape
        mel = mel.transpose(0, 1).reshape(bands, -1)
        magnitude = (filters.pseudo_inverse @ mel).clamp(min=0)
        for _ in range(10):
            ratio = mel / (filters.sparse @ magnitude + 1e-6)
            magnitude *= filters.sparse_mean @ ratio
        return magnitude.view(-1, batch, count).permute(1, 2, 0).contiguous()

    def _griffin_lim(self, magnitude: torch.Tensor, samples: int) -> torch.Tensor:
        """Return audio [B, samples] with the given magnitudes [B, N, F]."""
        count, bins = magnitude.shape[1:]
        transform = _Transform(self._window(), self.config.hop_length, count, samples)
        estimate = _initial_phases(count, bins, magnitude.device) * magnitude
        share = 0.99 / 1.99  # a momentum of 0.99, up to a factor that the magnitudes take out again
        previous = None
        for _ in range(self.config.griffin_lim_iterations):
            audio = transform.audio(estimate)
            # the transform is linear: what is extrapolated is the audio, a quarter of the numbers
            ahead = transform.spectrum(audio if previous is None else audio.sub(previous, alpha=share))
            squares = torch.view_as_real(ahead).square()  # complex abs() is slow
            power = squares[..., 0] + squares[..., 1]
            estimate = ahead.mul_(power.add_(1e-16).rsqrt_().mul_(magnitude))
            previous = audio
        half = self.config.n_fft // 2
        return transform.audio(estimate)[:, half : half + samples]


class _Transform:
    """The short-time Fourier transform and its inverse for audio of one length, mirrored at its ends.

    They give what `torch.stft` and `torch.istft` give, which spend most of their time on what is the same in every
    iteration. Audio is [B, n_fft // 2 + samples + n_fft // 2]: its mirrored ends are made where it lies.

    Parameters
    ----------
    window
        [n_fft].
    hop
        Samples between frames.
    count
        Frames N, each centred on a multiple of the hop.
    samples
        Length of the audio.
    """

    def __init__(self, window: torch.Tensor, hop: int, count: int, samples: int) -> None:
        self._window, self._hop, self._samples = window, hop, samples
        self._shifts = -(-len(window) // hop)  # frames that overlap
        self._weight = self._overlapped(window.expand(1, count, -1))
        self._inner = slice(len(window) // 2, len(window) // 2 + samples)

    def spectrum(self, audio: torch.Tensor) -> torch.Tensor:
        """Return the spectrum [B, N, F] of audio."""
        return torch.fft.rfft(audio.unfold(1, len(self._window), self._hop) * self._window)

    def audio(self, spectrum: torch.Tensor) -> torch.Tensor:
        """Return the audio whose spectrum is nearest to the given one [B, N, F]."""
        audio = self._overlapped(torch.fft.irfft(spectrum, len(self._window)))
        audio[:, self._inner] /= self._weight[:, self._inner]
        half = len(self._window) // 2
        audio[:, :half] = audio[:, half + 1 : 2 * half + 1].flip(1)
        audio[:, -half:] = audio[:, -2 * half - 1 : -half - 1].flip(1)
        return audio

    def _overlapped(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the sum of windowed frames [B, N, n_fft], each at its place."""
        batch, count, size = frames.shape
        summed = frames.new_zeros(batch, count + self._shifts - 1, self._hop)
        parts = zip(frames.split(self._hop, dim=2), self._window.split(self._hop), strict=True)
        for shift, (part, window) in enumerate(parts):
            summed[:, shift : shift + count, : len(window)].addcmul_(part, window)
        return summed.view(batch, -1)[:, : self._samples + size]


AutoConfig.register(SpectralCodecConfig.model_type, SpectralCodecConfig, exist_ok=True)
AutoModel.register(SpectralCodecConfig, SpectralCodecModel, exist_ok=True)
