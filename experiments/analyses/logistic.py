"""Logistic regression with a normal prior, as the analyses fit it."""

import numpy as np

from music.intervals import Array


def fit_logistic(features: Array, votes: Array, expected: Array, spread: Array) -> Array:
    """Return the most probable coefficients `[K]` of P(vote) = sigmoid(features @ coefficients).

    Features are `[n, K]`, votes `[n]` are 1 or 0; the normal prior has the means `expected` and standard deviations
    `spread`, `[K]` each. It keeps the coefficients finite where the features separate the votes; a wide one leaves them
    alone.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    precision = 1 / np.square(spread)
    signs = 2 * votes - 1

    def loss(coefficients: Array) -> float:
        away = coefficients - expected
        misses = np.logaddexp(0, -signs * (features @ coefficients)).sum()
        return float(misses + precision @ np.square(away) / 2)

    def gradient(coefficients: Array) -> Array:
        return features.T @ (expit(features @ coefficients) - votes) + precision * (coefficients - expected)

    def curvature(coefficients: Array) -> Array:
        chance = expit(features @ coefficients)
        return (features.T * (chance * (1 - chance))) @ features + np.diag(precision)

    found = minimize(loss, expected, method="trust-exact", jac=gradient, hess=curvature)
    return np.asarray(found.x, float)
