"""What the rows of a recipe's table store: the format of every layer and of every feature table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from smalti.quant.apply import LayerReport
from smalti.quant.plan import FLOAT
from smalti.quant.planner import DEFAULT_FORMATS, Budget, float_bytes, make_plan
from smalti.quant.sensitivity import Cost
from smalti.quant.table import quantize_table_, table_bytes
from smalti.quant.targets import layers_with_weights, why_not
from smalti.runtime.format import AnyFormat, parse_format
from smalti.runtime.ops.bilateral_slice.module import BilateralGrid
from smalti.runtime.ops.grid_encode.module import GridEncoding

INT8 = "int8"
_GROUPS = tuple(parse_format(f"int8-g{group}") for group in (128, 64, 32))
PLANNED = {"4 bit": "vq-2x256-g128", "3 bit": "vq-2x64-g128", "2 bit": "vq-4x256-g128"}
ROWS = (FLOAT, INT8, *PLANNED)
FORMATS = tuple(parse_format(name) for name in DEFAULT_FORMATS)
# There are no tables of 3 bits: that row has those of 4.
_TABLES = {
    INT8: ("int8",),
    "4 bit": ("vq-2x256", "int8"),
    "3 bit": ("vq-2x256", "int8"),
    "2 bit": ("vq-4x256", "vq-2x256", "int8"),
}


@dataclass(frozen=True)
class Storage:
    """Formats by name, of layers as `quantize_` takes them and of tables as `quantize_tables_`.

    What has no name here stays in float.
    """

    layers: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_float(self) -> bool:
        """Whether nothing is quantized."""
        return not (self.layers or self.tables)


def can_have(layer: nn.Module, form: AnyFormat) -> bool:
    """Say whether a layer can have a format in both engines: LiteRT has no tables in int8."""
    in_litert = str(form).startswith("vq") or not isinstance(layer, nn.Embedding)
    return in_litert and not why_not(layer, form)


def in_int8(module: nn.Module) -> Storage:
    """Return int8 wherever both engines have it, in the largest groups that pay."""
    layers = {
        name: str(form)
        for name, layer in layers_with_weights(module)
        for form in _GROUPS[::-1]
        if can_have(layer, form)
    }
    return Storage(layers, _tables(module, INT8))


def planned(module: nn.Module, costs: Mapping[str, Sequence[Cost]], row: str) -> Storage:
    """Return the best use of the bytes that a row's one format for all layers would take.

    Where tables hold most of the numbers, the layers around them take int8: there is little to
    gain. costs: by layer, as `quant.sensitivity.costs` gives them.
    """
    if mostly_tables(module):
        return Storage(in_int8(module).layers, _tables(module, row))
    layers = dict(module.named_modules())
    known = {
        name: [cost for cost in ways if _kept(layers[name], cost)] for name, ways in costs.items()
    }
    size = sum(_allowance(ways, PLANNED[row]) for ways in known.values())
    budget = Budget(max_bytes=float_bytes(module, known) + size)
    plan = make_plan(module, known, budget).plan if known else None
    found = {name: str(form) for name, form in plan.patterns if form} if plan else {}
    return Storage(found, _tables(module, row))


def _kept(layer: nn.Module, cost: Cost) -> bool:
    form = cost.choice.format
    return form == FLOAT or can_have(layer, parse_format(form))


def _allowance(ways: Sequence[Cost], form: str) -> int:
    """Bytes of a layer in a format; where it cannot have that, of the smallest that it can."""
    sizes = {cost.choice.format: cost.choice.bytes for cost in ways}
    return sizes.get(form, min(sizes.values()))


def mostly_tables(module: nn.Module) -> bool:
    """Say whether feature tables hold more than half of the parameters."""
    tables = [m for m in module.modules() if isinstance(m, GridEncoding | BilateralGrid)]
    held = sum(p.numel() for table in tables for p in table.parameters())
    return 2 * held > sum(p.numel() for p in module.parameters())


def _tables(module: nn.Module, row: str) -> dict[str, str]:
    """Formats of feature tables by name: of those that the row allows, the smallest."""
    found = {}
    for name, part in module.named_modules():
        if isinstance(part, GridEncoding):
            sizes = {form: table_bytes(part, form) for form in _TABLES[row]}
            found[name] = min((size, form) for form, size in sizes.items() if size is not None)[1]
        elif isinstance(part, BilateralGrid):
            found[name] = INT8
    return found


def quantize_tables_(module: nn.Module, tables: Mapping[str, str]) -> list[LayerReport]:
    """Quantize feature tables in place; return a report for each."""
    reports = []
    for name, form in tables.items():
        part = module.get_submodule(name)
        if isinstance(part, BilateralGrid):
            part.quantize_()
        else:
            reports += [replace(report, name=name) for report in quantize_table_(part, form)]
    return reports
