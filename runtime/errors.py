"""What can go wrong on the device, each with its exit code on the command line."""


class SmaltiError(Exception):
    """Any failure that smalti explains; `exit_code` is the command line's."""

    exit_code = 1


class CheckError(SmaltiError):
    """An artifact that runs but does not give what it should."""


class FileError(SmaltiError):
    """A file that is missing, damaged, or not what it claims to be."""

    exit_code = 3


class MissingRuntimeError(SmaltiError):
    """No engine, no native library, or one that does not fit the file."""

    exit_code = 4
