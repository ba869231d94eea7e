"""Keeps what other people's libraries print away from our own output."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow warnings, log lines and whatever is written to stdout and stderr, by C++ too."""
    kept = [os.dup(1), os.dup(2)]
    logging.disable(logging.WARNING)
    try:
        with (
            tempfile.TemporaryFile("w+") as sink,
            contextlib.redirect_stdout(sink),
            contextlib.redirect_stderr(sink),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        for number, copy in enumerate(kept, start=1):
            os.dup2(copy, number)
            os.close(copy)
        logging.disable(logging.NOTSET)
