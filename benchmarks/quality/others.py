"""The peers' rows: each weight replaced by what a peer's quantizer makes of it.

Their activations stay in float, which is kinder than what runs; their calibration data are ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.quality.peers.ggml import bits as ggml_bits
from benchmarks.quality.peers.ggml import ggml
from benchmarks.quality.peers.hqq import bits_per_weight as hqq_bits
from benchmarks.quality.peers.hqq import hqq
from benchmarks.quality.peers.nf4 import bits_per_weight as nf4_bits
from benchmarks.quality.peers.nf4 import nf4
from benchmarks.quality.peers.uniform import bits_per_weight, gptq, rtn
from benchmarks.quality.subjects import Subject, layers

# (weight (m, n), second moment of the inputs (n, n)) -> weight
Quantize = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Peer:
    """One row; bits with scales and zero points."""

    name: str
    bits: Callable[[], float]
    quantize: Quantize
    data: bool


def peers() -> list[Peer]:
    """All rows of others."""
    found = []
    for bits in (4, 3, 2):
        real = partial(bits_per_weight, bits, 128)
        found += [
            Peer(f"RTN int{bits} g128", real, _plain(rtn, bits, 128), data=False),
            Peer(f"GPTQ int{bits} g128", real, partial(_gptq, bits, False), data=True),
            Peer(f"GPTQ int{bits} g128 + clip", real, partial(_gptq, bits, True), data=True),
            Peer(f"HQQ int{bits} g64", partial(hqq_bits, bits, 64), _plain(hqq, bits, 64), False),
        ]
    found.append(Peer("NF4 g64", nf4_bits, _plain(nf4, 64), data=False))
    for name in ("Q4_K", "IQ4_NL", "Q3_K", "IQ3_XXS", "Q2_K", "IQ2_XXS", "IQ2_XS"):
        found.append(Peer(f"ggml {name} + imatrix", partial(ggml_bits, name), _ggml(name), True))
    found.append(Peer("ggml IQ4_NL", partial(ggml_bits, "IQ4_NL"), _plain(ggml, "IQ4_NL"), False))
    return found


def _plain(function: Callable[..., Tensor], *settings: int | str) -> Quantize:
    return lambda weight, moment: function(weight, *settings)


def _gptq(bits: int, clip: bool, weight: Tensor, moment: Tensor) -> Tensor:
    return gptq(weight, moment, bits, 128, clip)


def _ggml(name: str) -> Quantize:
    return lambda weight, moment: ggml(weight, name, moment.diagonal().contiguous())


def quantized(row: Peer, subject: Subject, moments: dict[str, Tensor]) -> nn.Module:
    """Return the subject's model with a peer's weights; moments by layer."""
    module = subject.model()
    with torch.no_grad():
        for name, layer in layers(subject, module):
            weight = next(layer.parameters())
            found = row.quantize(weight.flatten(1), moments[name])
            weight.copy_(found.reshape(weight.shape))
    return module
