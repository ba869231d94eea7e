"""The commands that make files: `plan` and `export`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from smalti.export.recipe import Recipe
    from smalti.export.settings import Settings

_FILE = click.Path(dir_okay=False)
_UNITS = {"": 1, "B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20}
_SETTINGS = (
    click.option(
        "--data",
        type=click.Choice(["recipe", "random", "none"]),
        help="Calibrate on the recipe's calibration(), on made-up inputs, or not at all. "
        "Default: recipe where it has one; else random with a plan, none without.",
    ),
    click.option(
        "--rounding",
        type=click.Choice(["nearest", "ldlq", "yaqa"]),
        help="Round to the nearest, or with feedback of errors by one or both sides of the "
        "Hessian. Default: yaqa where there is data, else nearest.",
    ),
    click.option(
        "--jobs",
        type=click.IntRange(1),
        help="Layers at once. Default: one a core, 1 where the model is small.",
    ),
    click.option(
        "--resume",
        type=click.Path(file_okay=False, path_type=Path),
        help="A folder that keeps finished work; the next call goes on from there.",
    ),
)


def _with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


def _settings(
    recipe: Recipe,
    otherwise: str,
    data: str | None,
    rounding: str | None,
    jobs: int | None,
    resume: Path | None,
) -> Settings:
    """Fill in what was not asked for; `otherwise` is the data of recipes that have none."""
    from smalti.export.settings import Settings

    data = data or (otherwise if recipe.calibration is None else "recipe")
    rounding = rounding or ("nearest" if data == "none" else "yaqa")
    return Settings(data, rounding, jobs, resume)


def _size(ctx: click.Context, option: click.Parameter, value: str | None) -> int | None:
    """Read a size such as 6MB, 800kB or 1.5MiB, in bytes."""
    if value is None:
        return None
    match = re.fullmatch(r"([\d.]+)\s*([A-Za-z]*)", value)
    if match is None or match[2] not in _UNITS:
        raise click.BadParameter(f"{value!r} is no size; write 6MB, 800kB or 1.5MiB", ctx, option)
    return int(float(match[1]) * _UNITS[match[2]])


def _pattern_and_format(option: str) -> tuple[str, str]:
    pattern, _, form = option.rpartition("=")
    return pattern or "*", form


@click.command()
@click.argument("recipe")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="[GLOB=]FORMAT",
    help="vq-2x64-g128, float, ...; for layers whose name matches GLOB, the last match decides.",
)
@click.option("--plan", "plan_file", type=_FILE, help="A plan.toml, in place of --format.")
@click.option(
    "-o", "--output", type=_FILE, required=True, help="The .onnx or .tflite file to write."
)
@click.option(
    "--to", type=click.Choice(["onnx", "tflite"]), help="Kind of file. Default: by its suffix."
)
@click.option("--activations", type=click.Choice(["int8", "float"]), default="int8")
@click.option("--learned", is_flag=True, help="Fit each matrix a codebook of its own; slow.")
@click.option("--refine", is_flag=True, help="Fine-tune scales, biases and norms on the data.")
@click.option(
    "--fallback",
    type=click.Choice(["fold", "nofold", "none"]),
    help="What an ONNX Runtime without our library does: decode once, at every run, or refuse.",
)
@click.option(
    "--native",
    metavar="OPERATOR,...",
    help="In an .onnx file, ours for the engine's: GridSample, Resize. Default: the plan's.",
)
@_with_settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def export(
    recipe: str,
    formats: Sequence[str],
    plan_file: str | None,
    output: str,
    to: str | None,
    activations: str,
    learned: bool,
    refine: bool,
    fallback: str | None,
    native: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Quantize the model of RECIPE (a .py file or a module), export it and check the file."""
    from smalti.export import report
    from smalti.export.recipe import load_recipe
    from smalti.export.run import export_recipe
    from smalti.export.target import target_for
    from smalti.quant.plan import Plan

    if bool(formats) == bool(plan_file):
        raise click.UsageError("give either --format or --plan")
    loaded = load_recipe(recipe)
    spec = dict(_pattern_and_format(option) for option in formats)
    followed = Plan.read(plan_file) if plan_file else Plan.of(spec)
    chosen = _settings(loaded, "random" if plan_file or refine else "none", **settings)
    chosen = replace(chosen, refine=refine, learned=learned)
    operators = followed.native if native is None else native.split(",")
    target = target_for(to, output, fallback, operators)
    done = export_recipe(loaded, followed, output, target, activations, chosen)
    report.show(report.export_table(done), done, as_json)


@click.command()
@click.argument("recipe")
@click.option(
    "--max-size", callback=_size, metavar="SIZE", help="Of all weights in the file, as in 6MB."
)
@click.option("--bits", type=click.FloatRange(1, 32), help="Bits a weight, with its scales.")
@click.option("--max-drop", type=click.FloatRange(0), help="Predicted loss of the outputs.")
@click.option("--device", help="Where it is to run: a name, or a .toml file.")
@click.option("--max-ms", type=click.FloatRange(0), help="Predicted milliseconds on --device.")
@click.option(
    "--max-ram", callback=_size, metavar="SIZE", help="Predicted memory on --device, as in 64MB."
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    help="A format to choose from; again for more. float is always there.",
)
@click.option("-o", "--output", type=_FILE, help="The plan.toml to write.")
@click.option("--dry-run", is_flag=True, help="Print the table, write nothing.")
@_with_settings
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def plan(
    recipe: str,
    max_size: int | None,
    bits: float | None,
    max_drop: float | None,
    device: str | None,
    max_ms: float | None,
    max_ram: int | None,
    formats: Sequence[str],
    output: str | None,
    dry_run: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Choose a format for every layer of RECIPE: the smallest loss within the limits.

    A person may edit the file; `export --plan` follows it.
    """
    from smalti.devices.profile import read_device
    from smalti.export import report
    from smalti.export.planning import run_plan
    from smalti.export.recipe import load_recipe
    from smalti.quant.planner import Budget

    sizes = [limit is not None for limit in (max_size, bits, max_drop)]
    if sum(sizes) > 1 or not (any(sizes) or max_ms or max_ram):
        raise click.UsageError("give one of --max-size, --bits and --max-drop")
    if (max_ms or max_ram) and not device:
        raise click.UsageError("--max-ms and --max-ram are of a device; give --device, too")
    if max_ram and (bits or max_drop is not None):
        raise click.UsageError("--max-ram is a limit of size; leave --bits and --max-drop out")
    if (output is None) != dry_run:
        raise click.UsageError("give either -o FILE or --dry-run")
    loaded = load_recipe(recipe)
    budget = Budget(max_size, bits, max_drop, max_ms, max_ram)
    chosen = _settings(loaded, "random", **settings)
    target = read_device(device) if device else None
    done = run_plan(loaded, formats, budget, chosen, output, target)
    report.show(report.plan_table(done), done.as_dict(), as_json)
