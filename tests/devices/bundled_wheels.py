"""Made-up wheels, which pip takes for real ones."""

import ensurepip
import platform
from pathlib import Path
from types import SimpleNamespace
from zipfile import ZipFile

OTHERS = ("numpy", "onnxruntime", "click", "rich")
BUNDLED_PIP = sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
# Stands for the command, and prints how it was called.
COMMAND = "import os, sys; print('smalti', *sys.argv[1:], os.environ['ORT_DISABLE_TELEMETRY'])"


def wheel(folder, name, tag="py3-none-any", fields=(), code=None):
    """Write a wheel of nothing, or of smalti's command."""
    info = f"{name}-1.0.dist-info"
    text = [f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0", *fields]
    files = {f"{info}/METADATA": "\n".join(text), f"{info}/RECORD": ""}
    files[f"{info}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}"
    if code is not None:
        files |= {f"{name}/__init__.py": "", f"{name}/export/__init__.py": ""}
        files[f"{name}/export/__main__.py"] = code
    with ZipFile(folder / f"{name}-1.0-{tag}.whl", "w") as packed:
        for path, content in files.items():
            packed.writestr(path, content)


def make(dist, index):
    """Fill two folders: smalti's wheels for two machines, and all others."""
    needs = [f"Requires-Dist: {name}" for name in ("numpy", "click", "rich")]
    needs += ['Requires-Dist: onnxruntime; extra == "onnx"', "Provides-Extra: onnx"]
    # The host's pip evaluates these two for itself: both have to be seen to.
    other = "aarch64" if platform.machine() != "aarch64" else "x86_64"
    needs += [f'Requires-Dist: only-there; platform_machine == "{other}"']
    needs += [f'Requires-Dist: only-here; platform_machine == "{platform.machine()}"']
    fields = ["License-Expression: Apache-2.0", "Requires-Python: >=3.11", *needs]
    for machine in ("aarch64", "x86_64"):
        wheel(dist, "smalti", f"py3-none-manylinux_2_28_{machine}", fields, COMMAND)
    licences = {name: ["License: MIT"] for name in OTHERS}
    licences["numpy"] = ["License: BSD,\n        in many\n        lines"]
    licences["numpy"] += ["Classifier: License :: OSI Approved :: BSD License"]
    for name in (*OTHERS, "only_there", "only_here"):
        wheel(index, name, fields=licences.get(name, ()))
    if BUNDLED_PIP:
        (index / BUNDLED_PIP[-1].name).symlink_to(BUNDLED_PIP[-1])
    else:
        wheel(index, "pip")
    return SimpleNamespace(dist=dist, index=index, there=other)
