"""The net of `biper` with real weights and inputs: what one bit is to be compared with.

A convolution's input goes through a ReLU where `biper` takes its sign; all else is the same, the
training included.
"""

from __future__ import annotations

from torch import nn

from smalti.models import biper
from smalti.models.about import About
from smalti.models.biper import calibration, dynamic_shapes, evaluate, example_inputs, loss

ABOUT = About(
    papers=(
        "Vargas, Correa, Hinojosa, Arguello 2024, BiPer: Binary Neural Networks using a Periodic "
        "Function, arXiv 2404.01278",
    ),
    metric="accuracy",
    rises=True,
    data="Fashion-MNIST's 10000 test images, from Debian's dataset-fashion-mnist or SMALTI_DATA",
)

__all__ = ["calibration", "dynamic_shapes", "evaluate", "example_inputs", "loss", "model"]

CACHE = "biper_float.safetensors"  # biper.TWIN


def model() -> nn.Module:
    """Return the trained net, from the cache or trained now.

    Raises:
        FileNotFoundError: not cached, and the data are not here.
    """
    return biper.model("float")
