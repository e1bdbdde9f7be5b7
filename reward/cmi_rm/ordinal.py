"""A clip's rating as a distribution over ordered levels, where the published head gives one number.

The head gives a location m and a scale s for each metric; the levels 1 to K share thresholds c_1 < ... < c_{K-1}, each
metric its own. The rating is at most level k with probability

    F(k) = sigmoid((c_k - m) / s),   F(0) = 0,   F(K) = 1,   P(k) = F(k) - F(k - 1)

which is the ordered logit (McCullagh 1980) with a scale for each clip. Level k is the rating 1 + 4 (k - 1) / (K - 1),
so that ratings lie from 1 to 5 whatever K is. From the distribution follow

    score      the mean of the rating
    spread     its standard deviation
    log-odds   log P(a over b) - log P(b over a) of two clips whose ratings are independent, where
               P(a over b) = sum over k of P_a(k) (F_b(k - 1) + F_b(k)) / 2: the chance that a is rated higher, and
               half of the chance that both have one level

A preference has the cross-entropy of these log-odds for its loss (as a Bradley-Terry model has that of a difference of
scores), a rating -log P of its level. One between two levels belongs to both, in proportion to how near it lies.
Everything is computed from logarithms of sigmoids, so that a distribution may become sharp.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

CHANCE = "{}_chance_{}"  # metric of a scorer: of a metric, the chance of a level from 1
_LOWEST, _RANGE = 1.0, 4.0  # ratings lie from 1 to 5
_SPAN = 4.0  # between the outer thresholds at the start, where scales are about 1
_NEAREST = 1e-3  # least distance of thresholds
_LOG_SCALE = 2.0  # scales lie within e^-2 and e^2
_NEVER = 1e-12  # least chance that log-odds are made of


class OrdinalRatings(nn.Module):
    """The distribution of ratings that outputs of a head stand for.

    Outputs are `[..., 4]`: locations of alignment and musicality, then what decides their scales.

    Parameters
    ----------
    levels
        Number of levels K.
    """

    values: torch.Tensor

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels
        gap = _SPAN / max(1, levels - 2)
        self.first = nn.Parameter(torch.full((2,), -_SPAN / 2 if levels > 2 else 0.0))
        self.gaps = nn.Parameter(torch.full((levels - 2, 2), math.log(math.expm1(gap - _NEAREST))))
        self.register_buffer("values", torch.linspace(_LOWEST, _LOWEST + _RANGE, levels), persistent=False)

    @property
    def thresholds(self) -> torch.Tensor:
        """Thresholds between the levels `[K - 1, 2]`, increasing; columns alignment and musicality."""
        return torch.cat([self.first[None], F.softplus(self.gaps) + _NEAREST]).cumsum(dim=0)

    def mean(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the mean rating `[..., 2]`, from 1 to 5."""
        return (self.chances(outputs) * self.values[:, None]).sum(dim=-2)

    def spread(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the standard deviation of the rating `[..., 2]`."""
        apart = self.values[:, None] - self.mean(outputs)[..., None, :]
        return (self.chances(outputs) * apart.square()).sum(dim=-2).sqrt()

    def chances(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the probability of each level `[..., K, 2]`."""
        return self._log_chances(self._logits(outputs)).exp()

    def log_odds(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return the log-odds `[..., 2]` that a clip of outputs `a` is preferred to one of outputs `b`."""
        return self._log_over(a, b) - self._log_over(b, a)

    def losses(self, outputs: torch.Tensor, ratings: torch.Tensor) -> torch.Tensor:
        """Return the loss `[..., 2]` beside ratings `[..., 2]` from 1 to 5."""
        places = (ratings - _LOWEST) / _RANGE * (self.levels - 1)
        levels = torch.arange(self.levels, device=ratings.device)[:, None]
        shares = (1 - (places[..., None, :] - levels).abs()).clamp(min=0)  # [..., K, 2]
        return -(shares * self._log_chances(self._logits(outputs))).sum(dim=-2)

    def _logits(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of F(1) to F(K - 1), `[..., K - 1, 2]`."""
        locations, scales = outputs.float().split(2, dim=-1)
        log_scales = _LOG_SCALE * torch.tanh(scales / _LOG_SCALE)
        return (self.thresholds - locations[..., None, :]) * torch.exp(-log_scales)[..., None, :]

    @staticmethod
    def _log_chances(logits: torch.Tensor) -> torch.Tensor:
        """Return log P(1) to log P(K), `[..., K, 2]`."""
        below, above = logits[..., :-1, :], logits[..., 1:, :]
        # sigmoid(x) - sigmoid(y) = sigmoid(x) sigmoid(-y) (1 - exp(y - x))
        between = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(below - above))
        return torch.cat(
            [F.logsigmoid(logits[..., :1, :]), between, F.logsigmoid(-logits[..., -1:, :])], dim=-2
        )

    def _log_over(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return log P(a over b), `[..., 2]`."""
        logits = self._logits(b)
        at_most = F.logsigmoid(logits)  # log F_b(1) to log F_b(K - 1)
        last = torch.zeros_like(at_most[..., :1, :])
        # log of F_b(k - 1) + F_b(k), of which F_b(0) is 0
        following = torch.cat([at_most[..., 1:, :], last], dim=-2)
        sums = torch.cat([at_most[..., :1, :], torch.logaddexp(at_most, following)], dim=-2)
        return torch.logsumexp(self._log_chances(self._logits(a)) + sums, dim=-2) - math.log(2)


def chances_in(scores: Mapping[str, Any], metric: str) -> list[float]:
    """Return the chance of each level of a metric that scores tell, as ``METRIC_chance_1`` ...; none if they do not."""
    found: list[float] = []
    while (name := CHANCE.format(metric, len(found) + 1)) in scores:
        found.append(float(scores[name]))
    return found


def log_odds_of_chances(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the log-odds that a clip is preferred to another, from the chances of each level of both."""
    over, under = (_over(*both) for both in ((a, b), (b, a)))
    return math.log(max(over, _NEVER)) - math.log(max(under, _NEVER))


def _over(a: Sequence[float], b: Sequence[float]) -> float:
    below = [math.fsum(b[:level]) for level in range(len(b))]
    return math.fsum(one * (less + equal / 2) for one, less, equal in zip(a, below, b, strict=True))
