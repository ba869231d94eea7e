"""Makes the library as WebAssembly and its archive: python3 wasm.py."""

import gzip
import os
import subprocess
import sys
import tomllib

from packages import HERE, ROOT, build_archive, search_path

NAME = "wasm32"
BUILD = ROOT / "build" / "cross" / NAME
MODULE = BUILD / "smalti.wasm"


def build(version: str) -> None:
    """Compile smalti.wasm into its build folder.

    Raises:
        subprocess.CalledProcessError: cmake failed; it has said why.
    """
    options = {
        "CMAKE_TOOLCHAIN_FILE": HERE / "zig.cmake",
        "ZIG_TARGET": f"{NAME}-wasi",
        "SMALTI_VERSION": version,
    }
    configure = ["cmake", "-S", str(ROOT), "-B", str(BUILD), "-G", "Ninja"]
    configure += [f"-D{key}={value}" for key, value in options.items()]
    environment = os.environ | {"PATH": search_path()}
    for command in (configure, ["cmake", "--build", str(BUILD)]):
        subprocess.run(command, check=True, env=environment, stdout=sys.stderr)
    MODULE.touch()  # up to date, though sources that it does not need may be newer


def main() -> int:
    """Build, pack and say how large the results are."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    build(version)
    module = MODULE.read_bytes()
    print(f"smalti.wasm: {len(module)} bytes, {len(gzip.compress(module))} by gzip")
    archive = build_archive(NAME, f"smalti-{version}-{NAME}")
    print(f"{archive.relative_to(ROOT)}: {archive.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
