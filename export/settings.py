"""How to calibrate and round: what `plan` and `export` have in common."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Choices of a person, or their defaults.

    data: recipe, random or none; rounding: nearest, ldlq or yaqa; jobs: layers at once, None for as
    many as pay; resume: a folder that keeps finished work; refine: whether scales, biases and
    norms are fine-tuned; learned: whether each matrix gets a codebook of its own.
    """

    data: str = "none"
    rounding: str = "nearest"
    jobs: int | None = None
    resume: Path | None = None
    refine: bool = False
    learned: bool = False
