"""Logistic regression with a normal prior, as the analyses fit it."""

import numpy as np

from reward.benchmark.intervals import Values


def fit_logistic(features: Values, votes: Values, expected: Values, spread: Values) -> Values:
    """Return the most probable coefficients `[K]` of P(vote) = sigmoid(features @ coefficients).

    Parameters
    ----------
    features
        `[n, K]`.
    votes
        `[n]`, 1 or 0.
    expected, spread
        `[K]` each: mean and standard deviation of the prior. It keeps the coefficients finite where the features tell
        all votes apart; a spread that is wide beside the coefficients leaves them alone.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    precision = 1 / np.square(spread)
    signs = 2 * votes - 1

    def loss(coefficients: Values) -> float:
        away = coefficients - expected
        misses = np.logaddexp(0, -signs * (features @ coefficients)).sum()
        return float(misses + precision @ np.square(away) / 2)

    def gradient(coefficients: Values) -> Values:
        return features.T @ (expit(features @ coefficients) - votes) + precision * (coefficients - expected)

    def curvature(coefficients: Values) -> Values:
        chance = expit(features @ coefficients)
        return (features.T * (chance * (1 - chance))) @ features + np.diag(precision)

    found = minimize(loss, expected, method="trust-exact", jac=gradient, hess=curvature)
    return np.asarray(found.x, float)
