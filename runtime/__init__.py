"""The device side: formats, kernels, artifacts and sessions. Needs numpy and one engine."""

from smalti.runtime.errors import CheckError, FileError, MissingRuntimeError, SmaltiError
from smalti.runtime.format import Format
from smalti.runtime.session import Session

__all__ = ["CheckError", "FileError", "Format", "MissingRuntimeError", "Session", "SmaltiError"]
