"""Which layer gets which format, and the file that a person can edit.

[plan]    # facts for the reader; reading ignores them
smalti = "0.1.0"

[layers]  # name or glob = format; the last line that matches decides
"encoder.*" = "vq-2x64-g128"
"encoder.0" = "vq-1x16-g128"  # 73,728 bytes, drop 0.00195
"head"      = "float"

[operators]  # may be left out: "smalti" or "engine", which is the default
GridSample = "smalti"
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from smalti.quant.budget import Choice
from smalti.runtime.errors import SmaltiError
from smalti.runtime.format import AnyFormat, FormatError, parse_format

FLOAT = "float"


class PlanError(SmaltiError, ValueError):
    """A plan that does not read, or does not fit the module."""

    exit_code = 2


@dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """What a plan file tells its reader; a fact that is None is left out.

    smalti: the version. budget: as asked, with its unit. bytes: predicted size. drop: predicted,
    in the unit of `metric`; measured: on the calibration data. gap: the most by which another plan
    could be better, relative. linear: whether drops of layers still add up at this size. rounding:
    how codes are chosen. device: which it is for; ms: predicted there.
    """

    smalti: str | None = None
    recipe: str | None = None
    budget: str | None = None
    bytes: int | None = None
    drop: float | None = None
    measured: float | None = None
    metric: str | None = None
    gap: float | None = None
    linear: bool | None = None
    rounding: str | None = None
    device: str | None = None
    ms: float | None = None


@dataclass(frozen=True)
class Plan:
    """Patterns of layer names and their formats; the last pattern that matches decides.

    A format of None keeps the layer in float. A layer that no pattern matches stays in float.
    path: the file that the plan was read from, for messages. native: operators of ours in place of
    ONNX Runtime's own.
    """

    patterns: tuple[tuple[str, AnyFormat | None], ...]
    path: str = field(default="", compare=False)
    native: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: Plan | str | Mapping[str, str]) -> Plan:
        """Make a plan from one format for all layers, or from {pattern: format}.

        Patterns are names or shell globs; the format `float` leaves layers alone.

        Raises:
            FormatError: a format that smalti does not have.
        """
        if isinstance(spec, Plan):
            return spec
        patterns = {"*": spec} if isinstance(spec, str) else spec
        return cls(tuple((pattern, _format(form)) for pattern, form in patterns.items()))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Plan:
        """Read the [layers] and [operators] of a plan file.

        Raises:
            PlanError: no such file, no TOML, no [layers], or a line that names no format or no
                maker of an operator; the message names the file, the line and the mend.
        """
        file = os.fspath(path)
        tables = _tables(file)
        layers = ((name, _read_format(file, name, form)) for name, form in tables["layers"].items())
        return cls(tuple(layers), file, _native(file, tables.get("operators", {})))

    def write(
        self,
        path: str | os.PathLike[str],
        facts: PlanFacts,
        predicted: Mapping[str, Choice] | None = None,
    ) -> None:
        """Write a file that `read` reads, beside `path` first, then renamed.

        predicted: by pattern, the choice whose bytes and drop become the comment of its line.

        Raises:
            OSError: the folder is not writable.
        """
        known = {key: value for key, value in asdict(facts).items() if value is not None}
        lines = ["[plan]", *(f"{key} = {_toml(value)}" for key, value in known.items())]
        lines += ["", "[layers]  # name or glob = format; the last line that matches decides"]
        lines += _layer_lines(self.patterns, predicted or {})
        _write_whole(Path(path), "\n".join(lines) + "\n")

    def format_of(self, layer: str) -> AnyFormat | None:
        """Return the format of a layer, None for float."""
        matching = [form for pattern, form in self.patterns if _matches(layer, pattern)]
        return matching[-1] if matching else None

    def without(self, layers: Iterable[str]) -> Plan:
        """Return the plan that keeps these layers in float."""
        return replace(self, patterns=(*self.patterns, *((name, None) for name in layers)))

    def check(self, layers: list[str]) -> None:
        """Refuse patterns that match nothing: they are typing errors.

        Raises:
            PlanError: names the file, the pattern and some layers.
        """
        for pattern, form in self.patterns:
            if not any(_matches(layer, pattern) for layer in layers):
                line = f"{self.path}: [layers] {_toml(pattern)} = {_toml(_name(form))}: "
                raise PlanError(
                    f"{line if self.path else ''}no layer matches {pattern!r}; layers are "
                    f"{', '.join(layers[:5]) or 'none'}{', ...' if len(layers) > 5 else ''}"
                    f"{'; correct the name or delete the line' if self.path else ''}"
                )


def _matches(layer: str, pattern: str) -> bool:
    """Say whether a pattern means the layer; by name first, as names may hold brackets."""
    return layer == pattern or fnmatchcase(layer, pattern)


def _format(name: str) -> AnyFormat | None:
    return None if name == FLOAT else parse_format(name)


def _name(form: AnyFormat | None) -> str:
    return FLOAT if form is None else str(form)


def _tables(path: str) -> dict[str, Any]:
    """Parse a plan file into its tables."""
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}; name a plan file") from None
    except (ValueError, RecursionError) as error:  # of TOML or UTF-8
        raise PlanError(f"{path}: no TOML: {error}; correct that line") from None
    for table in sorted(tables.keys() - {"plan", "layers", "operators"}):
        raise PlanError(f"{path}: unknown {table!r}; a plan has [plan], [layers] and [operators]")
    if not isinstance(tables.get("layers"), dict):
        raise PlanError(f'{path}: no [layers]; add it, with lines such as "*" = "vq-2x64-g128"')
    return tables


def _native(path: str, operators: Any) -> tuple[str, ...]:
    """Names of the [operators] that are to be ours."""
    if not isinstance(operators, dict):
        raise PlanError(f'{path}: operators is no table; write [operators], GridSample = "smalti"')
    for name, maker in operators.items():
        if maker not in ("smalti", "engine"):
            raise PlanError(f'{path}: [operators] {name} = {maker!r}: pass "smalti" or "engine"')
    return tuple(name for name, maker in operators.items() if maker == "smalti")


def _read_format(path: str, pattern: str, form: Any) -> AnyFormat | None:
    line = f"{path}: [layers] {_toml(pattern)}"
    if isinstance(form, dict):
        raise PlanError(f'{line}: put quotes around a name that holds dots, as in "a.b"')
    if not isinstance(form, str):
        raise PlanError(f'{line} = {form!r}: a format is a text such as "vq-2x64-g128"')
    try:
        return _format(form)
    except FormatError as error:
        raise PlanError(f'{line} = {_toml(form)}: {error}; or "float"') from None


def _layer_lines(
    patterns: tuple[tuple[str, AnyFormat | None], ...], predicted: Mapping[str, Choice]
) -> list[str]:
    """Lines in columns, with their predictions as comments."""
    lines = [(pattern, _toml(pattern), _toml(_name(form))) for pattern, form in patterns]
    wide = max((len(key) for _, key, _ in lines), default=0)
    return [f"{key:{wide}} = {form}{_comment(predicted.get(name))}" for name, key, form in lines]


def _comment(choice: Choice | None) -> str:
    return f"  # {choice.bytes:,} bytes, drop {choice.drop:.3g}" if choice else ""


def _toml(value: str | float) -> str:
    """Write a TOML value. Its strings are JSON's, which does not escape DEL."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()  # of True, inf, nan, 1e-05


def _write_whole(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8", newline="\n")
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
