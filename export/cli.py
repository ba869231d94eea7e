"""The `smalti` command. Heavy imports stand inside the commands, so that `--help` is quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from smalti.export.cli_author import export, plan
from smalti.export.cli_bundle import bundle
from smalti.export.cli_devices import devices
from smalti.runtime.errors import CheckError, FileError, MissingRuntimeError, SmaltiError

_FILE = click.Path(dir_okay=False)
_input = click.option("--input", "inputs", type=_FILE, multiple=True, help="A .npy file an input.")
_threads = click.option("--threads", type=click.IntRange(1), help="Threads for one operator.")
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
_native = click.option(
    "--native",
    type=click.Choice(["require", "prefer", "off"]),
    default="require",
    help="Use of the native kernels; off runs the portable fallback.",
)


class _Group(click.Group):
    """Turns explained failures into one line on stderr and their exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SmaltiError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except ModuleNotFoundError as error:
            click.echo(f"error: {error}; pip install 'smalti[author]'", err=True)
            ctx.exit(MissingRuntimeError.exit_code)


@click.group(cls=_Group)
@click.version_option(package_name="smalti")
def main() -> None:
    """Put Torch models on phones, boards and PCs at 2 to 4 bits a weight."""


main.add_command(export)
main.add_command(plan)
main.add_command(devices)
main.add_command(bundle)


@main.command()
@click.argument("file", type=_FILE)
@_input
@click.option("-o", "--output", type=click.Path(file_okay=False), help="Folder for .npy outputs.")
@_threads
@_native
@_json
def run(
    file: str, inputs: Sequence[str], output: str | None, threads: int, native: Any, as_json: bool
) -> None:
    """Run FILE once on .npy inputs (or on made-up ones) and describe its outputs."""
    from smalti.export import report
    from smalti.export.run import run_once

    rows = run_once(file, inputs, output, threads, native)
    report.show(report.rows_table(rows), rows, as_json)


@main.command()
@click.argument("files", type=_FILE, nargs=-1, required=True)
@click.option("--baseline", type=_FILE, help="A float model to compare with.")
@_input
@_threads
@click.option("--seconds", type=float, default=2.0, help="Seconds a file.")
@_json
def bench(
    files: Sequence[str],
    baseline: str | None,
    inputs: Sequence[str],
    threads: int,
    seconds: float,
    as_json: bool,
) -> None:
    """Time FILES beside their float baseline, interleaved.

    Without --baseline the first file's own fallback, decoded to float, is the baseline.
    """
    from smalti.export import report
    from smalti.export.run import bench_files

    rows = bench_files(files, baseline, inputs, threads, seconds)
    report.show(report.rows_table(rows), rows, as_json)


@main.command()
@click.argument("a", type=_FILE)
@click.argument("b", type=_FILE)
@_input
@click.option("--limit", type=float, default=1e-2, help="Relative error that counts as equal.")
@_json
def compare(a: str, b: str, inputs: Sequence[str], limit: float, as_json: bool) -> None:
    """Compare files A and B layer by layer on the same inputs; exit 1 where they part."""
    from smalti.export import report
    from smalti.export.compare import compare as compare_files
    from smalti.export.compare import first_departure
    from smalti.export.run import feed_for

    differences = compare_files(a, b, feed_for(a, inputs))
    rows = [{"layer": d.layer, "error": d.error} for d in differences]
    report.show(report.rows_table(rows), rows, as_json)
    departure = first_departure(differences, limit)
    if departure:
        raise CheckError(f"the files part at {departure.layer}: {departure.error:.3g} > {limit:g}")


@main.command()
@click.argument("file", type=_FILE)
@click.option("--device", help="Predict its time and memory there: a name, or a .toml file.")
@_threads
@_json
def inspect(file: str, device: str | None, threads: int | None, as_json: bool) -> None:
    """Show what FILE says of itself and check every weight; exit 3 if a bit has flipped."""
    from smalti.export import report
    from smalti.runtime.artifact import open_artifact

    artifact = open_artifact(file)
    if device is None:
        report.show(report.artifact_table(artifact), artifact.manifest, as_json)
    else:
        from smalti.devices import predict_file

        found = predict_file(file, device, threads)
        report.show(report.prediction_table(found), found, as_json)
    damaged = artifact.damaged()
    if damaged:
        raise FileError(f"{file}: damaged weights: {', '.join(damaged)}; export it again")


@main.command()
@_json
def ops(as_json: bool) -> None:
    """List the operators of the native library."""
    from dataclasses import asdict

    from smalti.export import report
    from smalti.runtime import native

    rows = [asdict(native.signature(op)) for op in native.ops()]
    report.show(report.rows_table(rows), rows, as_json)


@main.command()
@_json
def doctor(as_json: bool) -> None:
    """Check this installation: engine, native library, CPU, one operator run."""
    from smalti.export import report
    from smalti.runtime.doctor import diagnose

    findings = diagnose()
    report.show(report.rows_table(findings), findings, as_json)
    wrong = [f["check"] for f in findings if f["status"] == "missing"]
    if wrong:
        raise MissingRuntimeError(f"not usable: {', '.join(wrong)}")
