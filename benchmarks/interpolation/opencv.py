"""OpenCV as a peer, where it is installed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.subject import Run


def peer(threads: int, make: Callable[[Any], Run]) -> Mapping[str, Run]:
    """Return {"opencv": make(cv2)}, or nothing and a line on stderr without OpenCV."""
    try:
        import cv2
    except ImportError:
        print("no OpenCV to compare with; pip install opencv-python-headless", file=sys.stderr)
        return {}
    cv2.setNumThreads(threads)
    return {"opencv": make(cv2)}
