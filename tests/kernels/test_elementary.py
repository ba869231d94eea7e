"""exp, log, sin, cos, asin: within units in the last place of float64, the same bits everywhere."""

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smalti.runtime import native

HERE = Path(__file__).parent
RUNTIME = HERE.parents[1] / "runtime"
FLAGS = {"portable": [], "avx2": ["-march=x86-64-v3"]}
EXACT = {
    "exponential": np.exp,
    "logarithm": np.log,
    "sine": np.sin,
    "cosine": np.cos,
    "arc_sine": np.arcsin,
}
Function = Callable[[np.ndarray], np.ndarray]


@pytest.fixture(scope="module")
def functions(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Function]:
    folder, found = tmp_path_factory.mktemp("elementary"), {}
    for level in [name for name in native.isas() if name in FLAGS]:
        library = folder / f"{level}.so"
        plain = ["-std=c++17", "-O2", "-fPIC", "-shared", "-ffp-contract=off", "-fno-math-errno"]
        command = ["g++", *plain, *FLAGS[level], "-Wno-psabi", f"-DSMALTI_LEVEL={level}"]
        source = [f"-I{RUNTIME}", f"-I{RUNTIME / 'include'}", str(HERE / "elementary.cc")]
        subprocess.run([*command, *source, "-o", str(library)], check=True)
        for name in EXACT:
            found[level, name] = _function(ctypes.CDLL(str(library)), name)
    return found


def _function(library: ctypes.CDLL, name: str) -> Function:
    pointer = np.ctypeslib.ndpointer(np.float32, flags="C")
    call = getattr(library, f"{name}s")
    call.argtypes, call.restype = [pointer, pointer, ctypes.c_int64], None

    def run(x: np.ndarray) -> np.ndarray:
        padded = np.append(x.astype(np.float32), np.zeros(-len(x) % 8, np.float32))
        y = np.empty_like(padded)
        call(padded, y, len(padded))
        return y[: len(x)]

    return run


def every_level(functions: dict[tuple[str, str], Function], name: str, x: np.ndarray) -> np.ndarray:
    first, *others = [f(x) for (_, n), f in functions.items() if n == name]
    assert all(other.tobytes() == first.tobytes() for other in others)
    return first


def units(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest error in units in the last place of the float32 result."""
    spacing = np.spacing(np.abs(wanted).astype(np.float32)).astype(np.float64)
    return float((np.abs(found - wanted) / spacing).max())


rng = np.random.default_rng(0)
ANGLES = np.concatenate([rng.uniform(-10, 10, 100_000), rng.uniform(-(2**20), 2**20, 100_000)])
DOMAIN = {
    "exponential": np.concatenate([rng.uniform(-87, 88.7, 200_000), rng.normal(0, 1e-3, 1000)]),
    "logarithm": np.concatenate(
        [np.exp(rng.uniform(-102, 88.7, 200_000)), rng.uniform(0.5, 2, 200_000)]
    ),
    "arc_sine": np.concatenate([rng.uniform(-1, 1, 200_000), rng.normal(0, 1e-3, 1000), [1, -1]]),
}


@pytest.mark.parametrize("name", DOMAIN)
def test_close_to_float64(functions: dict[tuple[str, str], Function], name: str) -> None:
    x = DOMAIN[name].astype(np.float32)
    x = x[x > 0] if name == "logarithm" else x
    assert units(every_level(functions, name, x), EXACT[name](x.astype(np.float64))) <= 2.3


@pytest.mark.parametrize("name", ["sine", "cosine"])
def test_angles_of_many_turns(functions: dict[tuple[str, str], Function], name: str) -> None:
    x = ANGLES.astype(np.float32)
    found, wanted = every_level(functions, name, x), EXACT[name](x.astype(np.float64))
    assert np.abs(found - wanted).max() <= 1.2e-7  # beside a root, units in the last place mislead


def test_ends_of_the_range(functions: dict[tuple[str, str], Function]) -> None:
    nan, inf = np.nan, np.inf
    x = np.float32([0, -0.0, 1, -1, nan, inf, -inf, 1e-45, 2, 3e38])
    wanted = {
        "exponential": [1, 1, np.e, 1 / np.e, nan, inf, 0, 1, np.exp(2), inf],
        "logarithm": [-inf, -inf, 0, nan, nan, inf, nan, np.log(1.4e-45), np.log(2), 88.597],
        "sine": [0, -0.0, np.sin(1), -np.sin(1), nan, nan, nan, 1e-45, np.sin(2), nan],
        "cosine": [1, 1, np.cos(1), np.cos(1), nan, nan, nan, 1, np.cos(2), nan],
        "arc_sine": [0, -0.0, np.pi / 2, -np.pi / 2, nan, nan, nan, 1e-45, nan, nan],
    }
    for name, values in wanted.items():
        found = every_level(functions, name, x)
        np.testing.assert_allclose(found, np.float32(values), rtol=1e-5, err_msg=name)


def test_small_results_fade_to_zero(functions: dict[tuple[str, str], Function]) -> None:
    x = np.linspace(-110, -87, 1000).astype(np.float32)
    found, wanted = every_level(functions, "exponential", x), np.exp(x.astype(np.float64))
    assert (np.abs(found - wanted) <= 2 * np.float64(1.4e-45) + 2.4e-7 * wanted).all()
