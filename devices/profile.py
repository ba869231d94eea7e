"""A device's profile: a TOML file beside this one, or of your own (`smalti devices detect`).

Everything in it is data; docs/devices.md says what the fields mean.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from smalti.runtime.errors import SmaltiError

FOLDER = Path(__file__).parent
ENGINES = ("onnx", "tflite")

T = TypeVar("T")


class DeviceError(SmaltiError, ValueError):
    """A profile that does not exist or does not read."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class Cores:
    """Cores of one kind.

    vector_bits: of fused multiply-adds that a core can start in a cycle, over all of its pipes.
    """

    name: str
    count: int
    clock_ghz: float | None = None
    vector_bits: int | None = None


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The data sheet's bus; sustained: the share of its peak that a program is assumed to get."""

    bus_bits: int
    mega_transfers: int
    sustained: float

    @property
    def peak(self) -> float:
        """GB/s, derived: bus width x transfer rate."""
        return self.bus_bits / 8 * self.mega_transfers / 1e3


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A measured rate, in 10^9 multiply-adds or numbers a second; rows: of the left matrix.

    one: with one thread; all: with a thread a core.
    """

    kind: str
    rows: int
    one: float
    all: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What `detect` has measured: bandwidth in GB/s, microseconds a node and a run."""

    bandwidth_one: float
    bandwidth_all: float
    node_us: float
    run_us: float
    rates: tuple[Rate, ...]


@dataclass(frozen=True, kw_only=True)
class Device:
    """A target. The first kind of cores is the fastest.

    cache_mb: of the last level; source: by field, where its figure is from.
    """

    name: str
    title: str
    isa: tuple[str, ...]
    engine: str
    cores: tuple[Cores, ...]
    toolchain: str = ""
    ram_mb: int | None = None
    cache_mb: float | None = None
    memory: Memory | None = None
    measured: Measured | None = None
    source: dict[str, str] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """A thread for each of the fastest cores."""
        return self.cores[0].count

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a file that `read_device` reads, beside `path` first, then renamed.

        Raises:
            OSError: the folder is not writable.
        """
        file = Path(path)
        draft = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            draft.write_text("\n".join(_lines(asdict(self))) + "\n", encoding="utf-8")
            os.replace(draft, file)
        finally:
            draft.unlink(missing_ok=True)


def device_names() -> list[str]:
    """Return the names of the profiles that smalti brings along."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_device(name: str | os.PathLike[str]) -> Device:
    """Read a profile: one of `device_names`, or the path of a `.toml` file.

    Raises:
        DeviceError: no such profile, no TOML, or a field that is missing, unknown or no sensible
            value; the message names the file, the field, the value and the mend.
    """
    text = os.fspath(name)
    path = Path(text) if text.endswith(".toml") else FOLDER / f"{text}.toml"
    if not path.is_file():
        raise DeviceError(
            f"no device {text!r}; smalti has {', '.join(device_names())}; or name a .toml file"
        )
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeviceError(f"{path}: no TOML: {error}; correct that line") from None
    device = _made(Device, table, f"{path}: ")
    if device.engine not in ENGINES:
        raise DeviceError(f"{path}: engine = {device.engine!r}; use {' or '.join(ENGINES)}")
    if not device.cores:
        raise DeviceError(f"{path}: cores = []; add a table [[cores]], the fastest first")
    return device


def _made(kind: type[T], table: Any, where: str) -> T:
    """Build a dataclass from a table of TOML."""
    if not isinstance(table, dict):
        raise DeviceError(f"{where[:-1]} = {table!r} is no table; write its fields below its name")
    hints = get_type_hints(kind)
    for name in table.keys() - hints.keys():
        raise DeviceError(f"{where}{name} is unknown; fields are {', '.join(hints)}")
    for entry in fields(kind):  # type: ignore[arg-type]
        required = entry.default is MISSING and entry.default_factory is MISSING
        if required and entry.name not in table:
            raise DeviceError(f"{where}{entry.name} is missing; add it")
    return kind(**{name: _value(hints[name], v, f"{where}{name}") for name, v in table.items()})


def _value(hint: Any, value: Any, where: str) -> Any:
    if isinstance(hint, UnionType):
        hint = get_args(hint)[0]
    if hasattr(hint, "__dataclass_fields__"):
        return _made(hint, value, f"{where}.")
    if get_origin(hint) is tuple:
        return tuple(_value(get_args(hint)[0], v, where) for v in _checked(value, list, where))
    if get_origin(hint) is dict:
        return _checked(value, dict, where)
    if hint is str:
        return _checked(value, str, where)
    number = isinstance(value, int if hint is int else int | float)
    if not number or isinstance(value, bool) or not 0 < value < float("inf"):
        kind = "whole number" if hint is int else "number"
        raise DeviceError(f"{where} = {value!r}; write a {kind} above 0")
    return value


def _checked(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        names = {"list": "a list", "dict": "a table", "str": "a text in quotes"}
        raise DeviceError(f"{where} = {value!r}; write {names[kind.__name__]}")
    return value


def _lines(table: dict[str, Any], path: str = "") -> Iterator[str]:
    """Write tables of TOML: plain values first, then tables and lists of tables."""
    known = {key: value for key, value in table.items() if value not in (None, "", {})}
    deep = {key: v for key, v in known.items() if isinstance(v, dict) or _is_tables(v)}
    yield from (f"{key} = {_toml(v)}" for key, v in known.items() if key not in deep)
    for key, value in deep.items():
        name = f"{path}{key}"
        for entry in value if isinstance(value, tuple) else [value]:
            yield from ("", f"[[{name}]]" if isinstance(value, tuple) else f"[{name}]")
            yield from _lines(entry, f"{name}.")


def _is_tables(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], dict)


def _toml(value: Any) -> str:
    """Texts of TOML are JSON's, which does not escape DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
