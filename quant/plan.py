"""Which layer gets which format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from smalti.runtime.errors import SmaltiError
from smalti.runtime.format import Format

FLOAT = "float"


class PlanError(SmaltiError, ValueError):
    """A plan that does not fit the module."""

    exit_code = 2


@dataclass(frozen=True)
class Plan:
    """Patterns of layer names and their formats; the last pattern that matches decides.

    A format of None keeps the layer in float. A layer that no pattern matches stays in float.
    """

    patterns: tuple[tuple[str, Format | None], ...]

    @classmethod
    def of(cls, spec: Plan | str | Mapping[str, str]) -> Plan:
        """Make a plan from one format for all layers, or from {pattern: format}.

        Patterns are shell globs; the format `float` leaves layers alone.

        Raises:
            FormatError: a format that smalti does not have.
        """
        if isinstance(spec, Plan):
            return spec
        patterns = {"*": spec} if isinstance(spec, str) else spec
        return cls(tuple((p, None if f == FLOAT else Format.parse(f)) for p, f in patterns.items()))

    def format_of(self, layer: str) -> Format | None:
        """Return the format of a layer, None for float."""
        matching = [f for pattern, f in self.patterns if fnmatchcase(layer, pattern)]
        return matching[-1] if matching else None

    def check(self, layers: list[str]) -> None:
        """Refuse patterns that match nothing: they are typing errors.

        Raises:
            PlanError: names the pattern and some layers.
        """
        for pattern, _ in self.patterns:
            if not any(fnmatchcase(layer, pattern) for layer in layers):
                raise PlanError(
                    f"no layer matches {pattern!r}; layers are {', '.join(layers[:5]) or 'none'}"
                    + (", ..." if len(layers) > 5 else "")
                )
