"""All rows of a subject: a name, and how to measure it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.quality import others, ours
from benchmarks.quality.others import Peer, peers
from benchmarks.quality.ours import Calibrations, Ours, Trained
from benchmarks.quality.subjects import SUBJECTS, Fashion, Subject, layers
from smalti.quant.observe import estimate

Measure = Callable[[], dict[str, Any]]
EVERY = ("vq-2x256-g128", "vq-1x16-g128", "vq-2x64-g128", "vq-4x256-g128", "vq-2x16-g128")


def our_rows() -> list[Ours]:
    """Every format and rounding, then plans, then refinement."""
    found = [Ours(form, "nearest", "none") for form in EVERY]
    found += [Ours(form, "yaqa", "random") for form in EVERY[:4:1] if form != EVERY[1]]
    found += [Ours(form, rounding, "recipe") for rounding in ("ldlq", "yaqa") for form in EVERY]
    found += [
        Ours(3.11, "yaqa", "random"),
        Ours(3.11, "yaqa", "recipe"),
        Ours(2.49, "yaqa", "recipe"),
    ]
    found += [Ours(form, "yaqa", "recipe", refined=True) for form in (*EVERY[:1], *EVERY[2:4])]
    found += [Ours(bits, "yaqa", "recipe", refined=True) for bits in (3.11, 2.49)]
    return found


def all_rows(name: str, folder: Path) -> Iterator[tuple[str, Measure]]:
    """Every row, ours first."""
    torch.manual_seed(0)
    subject = SUBJECTS[name]
    known = Calibrations(subject, folder / "kept")

    @cache
    def moments() -> dict[str, Tensor]:
        return second_moments(subject)

    yield "fp32", lambda: _result(subject, subject.model(), 32.0, peer=False, data=False)
    for row in our_rows():
        yield row.name, partial(_measure_ours, row, subject, known)
    if isinstance(subject, Fashion):
        taught = Trained("vq-2x16-row")
        yield taught.name, partial(_measure_trained, taught, subject)
    for peer in peers():
        yield peer.name, partial(_measure_peer, peer, subject, moments)


def second_moments(subject: Subject) -> dict[str, Tensor]:
    """Mean of x x^T over the calibration data, by layer."""
    module = subject.model()
    found = estimate(module, subject.calibration(), sketch="inputs")
    names = [name for name, _ in layers(subject, module)]
    return {name: found[name].inputs[:-1, :-1] / found[name].samples for name in names}


def _measure_ours(row: Ours, subject: Subject, known: Calibrations) -> dict[str, Any]:
    module, bits = ours.quantized(row, subject, known)
    return _result(subject, module, bits, peer=False, data=row.data == "recipe")


def _measure_trained(row: Trained, subject: Fashion) -> dict[str, Any]:
    module, bits = ours.trained(row, subject)
    return _result(subject, module, bits, peer=False, data=True)


def _measure_peer(
    peer: Peer, subject: Subject, moments: Callable[[], dict[str, Tensor]]
) -> dict[str, Any]:
    module = others.quantized(peer, subject, moments())
    return _result(subject, module, peer.bits(), peer=True, data=peer.data)


def _result(
    subject: Subject, module: nn.Module, bits: float, peer: bool, data: bool
) -> dict[str, Any]:
    weights = sum(next(x.parameters()).numel() for _, x in layers(subject, subject.model()))
    size = bits / 8 * weights / 1e6
    return {"bits": bits, "mb": size, **subject.measure(module), "peer": peer, "data": data}
