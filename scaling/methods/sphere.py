"""Noise on the sphere of its length: in many dimensions all Gaussian noise is about as long, as models expect it."""

import math

import torch


def turned(noise: torch.Tensor, towards: torch.Tensor, cosine: float) -> torch.Tensor:
    """Return noise as long as before, turned towards a direction of its shape by the angle of that cosine."""
    length = noise.norm()
    own = noise / length
    side = towards - (towards * own).sum() * own
    return length * (cosine * own + math.sqrt(1 - cosine**2) * side / side.norm())


def angle(one: torch.Tensor, other: torch.Tensor) -> float:
    """Return the angle between two noises of one shape, degrees from 0 to 180."""
    a, b = (noise.double() / noise.double().norm() for noise in (one, other))
    return math.degrees(2 * math.atan2(float((a - b).norm()), float((a + b).norm())))
