"""The device side: formats, kernels, artifacts and sessions. Needs numpy and one engine."""

from typing import TYPE_CHECKING

from smalti.runtime.errors import CheckError, FileError, MissingRuntimeError, SmaltiError
from smalti.runtime.format import Format

if TYPE_CHECKING:
    from smalti.runtime.session import Session

__all__ = ["CheckError", "FileError", "Format", "MissingRuntimeError", "Session", "SmaltiError"]


def __getattr__(name: str) -> object:
    # numpy comes with it, and `smalti --help` should not wait for numpy.
    if name == "Session":
        from smalti.runtime.session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
