"""The commands about devices: `devices`, `devices show`, `devices detect`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from smalti.devices.profile import Device

_FILE = click.Path(dir_okay=False)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


@click.group(invoke_without_command=True)
@_json
@click.pass_context
def devices(ctx: click.Context, as_json: bool) -> None:
    """List the devices that smalti knows, or `show` or `detect` one."""
    if ctx.invoked_subcommand:
        return
    from dataclasses import asdict

    from smalti.devices.profile import device_names, read_device
    from smalti.export import report

    found = [read_device(name) for name in device_names()]
    rows = [asdict(device) for device in found]
    report.show(report.rows_table(list(map(_row, found))), rows, as_json)


def _row(device: Device) -> dict[str, Any]:
    cores = " + ".join(
        f"{c.count} {c.name}{f' {c.clock_ghz:g} GHz' if c.clock_ghz else ''}" for c in device.cores
    )
    return {
        "name": device.name,
        "title": device.title,
        "cores": cores,
        "isa": ", ".join(device.isa),
        "ram_mb": device.ram_mb,
        "gb_s": round(device.memory.peak, 1) if device.memory else None,
        "engine": device.engine,
    }


@devices.command()
@click.argument("device")
@_json
def show(device: str, as_json: bool) -> None:
    """Show all of a DEVICE's profile, a name or a .toml file, and where each figure is from."""
    from dataclasses import asdict

    from smalti.devices.profile import read_device
    from smalti.export import report

    found = read_device(device)
    facts = [
        {"field": field, "value": value, "source": found.source.get(field, "")}
        for field, value in _facts(found).items()
    ]
    report.show(report.rows_table(facts, found.title), asdict(found), as_json)


def _facts(device: Device) -> dict[str, Any]:
    """Values by field; what is derived says from what."""
    from smalti.devices.speeds import speeds

    fast = speeds(device)
    how = "measured" if fast.measured else "derived"
    rates = {
        f"{kind} rate ({how})": " ".join(f"{rate:.3g} at {rows} rows;" for rows, rate in points)
        for kind, points in fast.rates.items()
    }
    row = _row(device)
    kept = ("cores", "isa", "ram_mb", "engine")
    return {
        **{name: row[name] for name in kept},
        "toolchain": device.toolchain,
        "cache_mb": device.cache_mb,
        "memory": _memory(device),
        "sustained": device.memory.sustained if device.memory else None,
        "vector_bits": " + ".join(str(c.vector_bits) for c in device.cores),
        f"bandwidth ({how}, GB/s)": fast.bandwidth,
        f"node ({how}, us)": fast.node_us,
        **rates,
    }


def _memory(device: Device) -> str | None:
    m = device.memory
    return f"{m.bus_bits} bits x {m.mega_transfers} MT/s = {m.peak:.1f} GB/s" if m else None


@devices.command()
@click.option("-o", "--output", type=_FILE, help="The .toml file to write.")
@_json
def detect(output: str | None, as_json: bool) -> None:
    """Measure this machine, in ten seconds or so; it should have nothing else to do."""
    from dataclasses import asdict

    from rich.console import Console

    from smalti.devices.detect import detect as measure
    from smalti.export import report

    with Console(stderr=True).status("measuring") as status:
        found = measure(lambda stage: status.update(f"measuring {stage}"))
    if output:
        found.write(output)
    assert found.measured is not None
    rows = [asdict(rate) for rate in found.measured.rates]
    title = (
        f"{found.title}: memory {found.measured.bandwidth_one:g} GB/s with one thread, "
        f"{found.measured.bandwidth_all:g} with {found.threads}; "
        f"{found.measured.node_us:g} us a node; rates in 10^9 a second"
    )
    report.show(report.rows_table(rows, title), asdict(found), as_json)
