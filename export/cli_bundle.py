"""The command `bundle`."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("model", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--device", required=True, help="Where it is to run: a name, or a .toml file.")
@click.option("-o", "--output", type=_FOLDER, required=True, help="The folder to write.")
@click.option("--c", is_flag=True, help="The library for C programs, in place of wheels.")
@click.option("--container", is_flag=True, help="A container image, too; arm64 only.")
@click.option(
    "--wheels",
    type=_FOLDER,
    default="dist",
    show_default=True,
    help="Where smalti's wheel or archive for the device lies: what `make wheel-arm64` writes.",
)
@click.option("--python", default="3.11", show_default=True, help="The device's Python.")
@click.option(
    "--find-links", type=_FOLDER, help="Take all other wheels from this folder; no network."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def bundle(
    model: Path,
    device: str,
    output: Path,
    c: bool,
    container: bool,
    wheels: Path,
    python: str,
    find_links: Path | None,
    as_json: bool,
) -> None:
    """Put all that a device needs to run MODEL into a folder: wheels, the model, run.sh.

    This downloads wheels with pip, from the index that pip is set to, unless --find-links or --c
    is given. The device then needs no network.
    """
    from rich.console import Console

    from smalti.devices.bundle import Order
    from smalti.devices.bundle import bundle as write_bundle
    from smalti.devices.profile import read_device
    from smalti.export import report

    order = Order(
        model=model,
        device=read_device(device),
        made=wheels,
        python=python,
        find_links=find_links,
        c=c,
        container=container,
    )
    with Console(stderr=True).status("reading the model") as status:
        done = write_bundle(order, output, status.update)
    for warning in done.warnings:
        click.echo(f"warning: {warning}", err=True)
    rows = [{"file": name, "bytes": size} for name, size in done.files.items()]
    title = f"{done.path}: {done.bytes / 1e6:.1f} MB for {order.device.name}"
    report.show(report.rows_table(rows, title), done, as_json)
