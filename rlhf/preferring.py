"""What dpo and ipo ask of a winner and a loser, in the terms of every family of generators.

With w and l how much likelier than the model before the model finds winner and loser, g = w - l and beta the cost of
leaving the model before,

    dpo (arXiv 2305.18290)    -log sigmoid(beta g)
    ipo (arXiv 2310.12036)    (g - 1 / (2 beta))^2

Both are content when winner and loser fall, the loser faster. So the winner's own loss, as in expert iteration, is
added with a weight: 1 pulls at the winner as strongly as the preference does where the training begins, whatever beta
is.

w and l are means over what a clip consists of, so that beta means the same for clips of any length: of differences of
log-probabilities of codes for MusicGen, nats; of differences of squared errors of a velocity, with the sign turned, for
Stable Audio.
"""

from __future__ import annotations


def pull_at_start(loss: str, beta: float) -> float:
    """Return how steeply a loss, dpo or ipo, falls with g at g = 0, where the training begins."""
    return beta / 2 if loss == "dpo" else 1 / beta
