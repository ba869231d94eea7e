"""What smalti's wheels and archives are made for, by the toolchain that a profile names."""

from __future__ import annotations

from dataclasses import dataclass

from smalti.devices.profile import Device, DeviceError

ENGINES = {"onnx": "ONNX Runtime", "tflite": "LiteRT"}


@dataclass(frozen=True)
class Target:
    """A kind of machine. name: as in `make wheel-NAME`; machine: as `uname -m` says it.

    glibc: 2.x of the oldest that our library runs on.
    engines: those whose wheels, and numpy's, the package index has for it.
    """

    name: str
    machine: str
    glibc: int
    engines: tuple[str, ...]

    @property
    def platforms(self) -> list[str]:
        """Tags of wheels for that glibc and older ones, the newest first."""
        tags = [f"manylinux_2_{n}_{self.machine}" for n in range(self.glibc, 16, -1)]
        return [*tags, f"manylinux2014_{self.machine}"]


TARGETS = {
    "aarch64-linux-gnu": Target("arm64", "aarch64", 28, ("onnx", "tflite")),
    "x86_64-linux-gnu": Target("x86-64", "x86_64", 28, ("onnx", "tflite")),
    "arm-linux-gnueabihf": Target("armv7", "armv7l", 28, ()),
    "riscv64-linux-gnu": Target("riscv64", "riscv64", 31, ()),
}


def target_of(device: Device) -> Target:
    """Return what to build for a device.

    Raises:
        DeviceError: its toolchain is none that smalti makes wheels or archives for.
    """
    name = device.toolchain
    if name.endswith("-android"):
        raise DeviceError(
            f"{device.name}: toolchain = {name!r}: Android has no pip; an app brings the library "
            "along, built as examples/android/README.md says"
        )
    if name not in TARGETS:
        raise DeviceError(
            f"{device.name}: toolchain = {name!r}; bundles are for {', '.join(TARGETS)}: "
            "name one in the profile"
        )
    return TARGETS[name]
