"""Shapes and attributes that GridSample, Resize and IRFFT refuse, and what they say to it."""

from typing import Any

import numpy as np
import pytest

from smalti.runtime import native
from smalti.runtime.native import NativeError

IMAGE, GRID = (2, 3, 4, 5), (2, 6, 7, 2)
VOLUME, VOLUME_GRID = (2, 3, 4, 5, 6), (2, 6, 7, 8, 3)
LARGE = 2**62
REFUSED: list[tuple[str, list[tuple[int, ...]], dict[str, Any], str]] = [
    ("GridSample", [IMAGE, GRID], {"mode": 3}, "mode: 3; pass 0 .linear"),
    ("GridSample", [IMAGE, GRID], {"mode": -1}, "mode: -1; pass"),
    ("GridSample", [IMAGE, GRID], {"padding_mode": 3}, "padding_mode: 3; pass 0 .zeros"),
    ("GridSample", [VOLUME, VOLUME_GRID], {"mode": 2}, "mode: 2 .*images only.*; pass 0 .linear"),
    ("GridSample", [(4, 5), GRID], {}, "x: rank 2; pass 4"),
    ("GridSample", [(1,) * 6, GRID], {}, "x: rank 6; pass 4"),
    ("GridSample", [IMAGE, ()], {}, "grid: rank 0; pass 4"),
    ("GridSample", [IMAGE, VOLUME_GRID], {}, "grid: rank 5; pass 4 as for x"),
    ("GridSample", [IMAGE, (2, 6, 7, 3)], {}, "grid: 3 coordinates a point; .* takes 2"),
    ("GridSample", [IMAGE, (2, 6, 7, 0)], {}, "grid: 0 coordinates a point; .* takes 2"),
    ("GridSample", [IMAGE, (1, 6, 7, 2)], {}, "grid: a batch of 1; pass one .* 2 images"),
    ("GridSample", [(2, 3, 0, 5), GRID], {}, "x: dimension 2 is 0; pass images of at least one"),
    ("GridSample", [(2, 3, 4, 5, 0), VOLUME_GRID], {}, "x: dimension 4 is 0; pass"),
    ("GridSample", [(2, 0, 4, 3), GRID], {"channels_last": 1}, "x: dimension 1 is 0; pass"),
    ("Resize", [(3, 4, 5)], {}, "x: rank 3; pass 4 .N, C, H, W"),
    ("Resize", [(3, 4, 5)], {"channels_last": 1}, "x: rank 3; pass 4 .N, H, W, C"),
    ("Resize", [(2, 3, 0, 5)], {"channels_last": 1}, "x: dimension 2 is 0; pass images of 1"),
    ("Resize", [IMAGE], {"mode": 1}, "mode: 1; pass 0 .linear. or 2 .cubic"),
    ("Resize", [IMAGE], {"mode": 3}, "mode: 3; pass 0"),
    ("Resize", [(2, 3, 0, 5)], {}, "x: dimension 2 is 0; pass images of 1 to"),
    ("Resize", [IMAGE], {"sizes": []}, "sizes: .*; pass height and width, from 1"),
    ("Resize", [IMAGE], {"sizes": [4]}, "sizes: .*; pass height and width, from 1"),
    ("Resize", [IMAGE], {"sizes": [4, 5, 6]}, "sizes: .*; pass height and width, from 1"),
    ("Resize", [IMAGE], {"sizes": [0, 5]}, "sizes: .*; pass height and width, from 1"),
    ("Resize", [IMAGE], {"sizes": [4, -5]}, "sizes: .*; pass height and width, from 1"),
    ("Resize", [IMAGE], {"sizes": [LARGE, 5]}, "sizes: .*; pass height and width, from 1"),
    ("IRFFT", [(3, 5, 2)], {"n": 0}, "n: 0; pass a length from 1"),
    ("IRFFT", [(3, 5, 2)], {"n": -8}, "n: -8; pass a length"),
    ("IRFFT", [(3, 5, 2)], {"n": LARGE}, f"n: {LARGE}; pass a length"),
    ("IRFFT", [(3, 5, 2)], {"n": 10}, "x: 5 bins; pass 6 for signals of length n = 10"),
    ("IRFFT", [(3, 5, 2)], {"n": 7}, "x: 5 bins; pass 4 for"),
    ("IRFFT", [(3, 0, 2)], {"n": 8}, "x: 0 bins; pass 5 for"),
    ("IRFFT", [(3, 5, 1)], {"n": 8}, "x: a last dimension of 1; pass 2"),
    ("IRFFT", [(5,)], {"n": 8}, "x: rank 1; pass .*bins, 2"),
    ("IRFFT", [()], {"n": 8}, "x: rank 0; pass .*bins, 2"),
]
GOOD: dict[str, dict[str, Any]] = {
    "GridSample": {"mode": 0, "padding_mode": 0, "align_corners": 0, "channels_last": 0},
    "Resize": {"sizes": [4, 5], "mode": 0, "align_corners": 0, "channels_last": 0},
    "IRFFT": {},
}


@pytest.mark.parametrize(("op", "shapes", "attributes", "message"), REFUSED)
def test_what_does_not_fit_is_refused_with_the_mend(
    op: str, shapes: list[tuple[int, ...]], attributes: dict[str, Any], message: str
) -> None:
    inputs = [np.zeros(shape, np.float32) for shape in shapes]
    with pytest.raises(NativeError, match=f"{op}: {message}"):
        native.run_op(op, inputs, {**GOOD[op], **attributes})
