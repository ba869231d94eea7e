"""What a recipe of this folder says of itself: `ABOUT = About(...)` below its imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class About:
    """One line of `smalti models`, and the head of the recipe's section in docs/models.md.

    papers: one entry each, such as "Xu, Zeng, Xu 2023, FITS: Modeling Time Series with 10k
    Parameters, arXiv 2307.03756". metric: the key of what evaluate() returns that counts, and
    whether it `rises` as models get better. unit: of the metric, such as "dB". data: what the
    model is trained and scored on, and where that comes from. published: what the paper reports.
    """

    papers: tuple[str, ...]
    metric: str
    rises: bool
    data: str
    unit: str = ""
    published: str = ""
