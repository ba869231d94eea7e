"""The `smalti` command with all its parts, the recipes of this package included."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from smalti.export.cli import main
from smalti.runtime.errors import CheckError, SmaltiError

if TYPE_CHECKING:
    from smalti.models.zoo.kept import Results
    from smalti.models.zoo.listing import Listed

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
_out = click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/models"),
    show_default=True,
    help="The folder that keeps results and files.",
)


@main.group(invoke_without_command=True)
@_out
@_json
@click.pass_context
def models(ctx: click.Context, out: Path, as_json: bool) -> None:
    """List the models that come as recipes, or `run` them, or write their `page`."""
    if ctx.invoked_subcommand:
        return
    from smalti.export import report
    from smalti.models.zoo.listing import recipes

    rows = [_listed(recipe, out / recipe.name) for recipe in recipes()]
    report.show(report.rows_table(rows), rows, as_json)


def _listed(recipe: Listed, folder: Path) -> dict[str, Any]:
    from smalti.models.zoo import kept

    results, cached = kept.read(folder), recipe.cached_parameters()
    trained = "trained" if cached else "not trained" if recipe.cache else ""
    return {
        "name": recipe.name,
        "paper": recipe.paper,
        "metric": recipe.about.metric,
        "parameters": (results.parameters if results else 0) or cached,
        "status": results.status if results else trained,
    }


@models.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--target", type=click.Choice(["onnx", "tflite", "both"]), default="both")
@click.option("--threads", type=click.IntRange(1), default=1, help="Threads for one operator.")
@_out
@_json
def run(names: Sequence[str], target: str, threads: int, out: Path, as_json: bool) -> None:
    """Train, quantize, export, score and time the recipes of these NAMEs, or all that can run.

    A row of the table is a way to store the weights: float, int8, or a plan that takes no more
    bytes than vq-2x256, vq-2x64 or vq-4x256 would for all layers: 4, 3 and 2 bits a weight. Files
    and results are kept in --out, and a second run measures what is missing. Remove a recipe's
    folder there to measure all again.
    """
    from dataclasses import asdict

    from smalti.export.report import show
    from smalti.models.zoo.listing import chosen
    from smalti.models.zoo.measure import explained
    from smalti.models.zoo.report import table

    engines = ("onnx", "tflite") if target == "both" else (target,)
    found, failed = {}, []
    for recipe in chosen(names):
        try:
            results = _measured(recipe.name, out, engines, threads)
        except Exception as error:
            if names:
                raise
            click.echo(explained(error), err=True)
            failed += [] if isinstance(error, SmaltiError) else [recipe.name]
            continue
        found[recipe.name] = asdict(results)
        if not as_json:
            show(table(recipe.name, recipe.about, results), results, as_json)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    if failed:
        raise CheckError(f"recipes that fail: {', '.join(failed)}; run one by its name")


def _measured(name: str, out: Path, engines: Sequence[str], threads: int) -> Results:
    """Measure with progress on stderr."""
    from rich.console import Console

    from smalti.models.zoo.measure import measure

    with Console(stderr=True).status(name) as status:
        return measure(
            name, out / name, engines, threads, lambda stage: status.update(f"{name}: {stage}")
        )


@models.command()
@_out
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("docs/models.md"),
    show_default=True,
    help="The page; its pictures go into the folder of that name.",
)
def page(out: Path, output: Path) -> None:
    """Write a page of all recipes from the results in --out; nothing is run."""
    from smalti.models.zoo.listing import recipes
    from smalti.models.zoo.page import write

    write(recipes(), out, output)
