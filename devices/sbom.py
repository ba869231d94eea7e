"""Says in CycloneDX what lies in a folder: https://cyclonedx.org/docs/1.6/json/."""

from __future__ import annotations

from importlib.metadata import Distribution, version
from pathlib import Path

from cyclonedx.factory.license import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from smalti.devices.bundle_folder import SBOM, sha256
from smalti.devices.wheels import metadata, normal_name, read_wheel

OURS = "Apache-2.0"
_KINDS = {
    "model": ComponentType.MACHINE_LEARNING_MODEL,
    "image": ComponentType.CONTAINER,
    "c": ComponentType.LIBRARY,
}


def write_sbom(folder: Path, name: str) -> Path:
    """Write sbom.cdx.json: every file under a folder with its hash, a wheel's version and licence.

    Libraries inside of wheels are not taken apart. `name` is that of the whole.

    Raises:
        MissingRuntimeError: a wheel does not read.
    """
    bom = Bom()
    whole = Component(name=name, type=ComponentType.APPLICATION, bom_ref=name)
    bom.metadata.component = whole
    bom.metadata.tools.components.add(_smalti())
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    components = [_component(path, str(path.relative_to(folder))) for path in files]
    bom.components.update(components)
    bom.register_dependency(whole, components)
    written = folder / SBOM
    written.write_text(JsonV1Dot6(bom).output_as_string(indent=2) + "\n", encoding="utf-8")
    return written


def _smalti() -> Component:
    licence = LicenseFactory().make_from_string(OURS)
    kind = ComponentType.APPLICATION
    return Component(name="smalti", type=kind, version=version("smalti"), licenses=[licence])


def _component(path: Path, name: str) -> Component:
    if path.suffix == ".whl":
        return _library(path, name)
    first = name.split("/", maxsplit=1)[0]
    licences = [LicenseFactory().make_from_string(OURS)] if first in ("c", "run.sh") else []
    kind = _KINDS.get(first, ComponentType.FILE)
    return Component(name=name, type=kind, bom_ref=name, hashes=[_hash(path)], licenses=licences)


def _library(path: Path, place: str) -> Component:
    wheel = read_wheel(path)
    name = normal_name(wheel)
    return Component(
        name=name,
        version=wheel.version,
        type=ComponentType.LIBRARY,
        bom_ref=place,
        purl=PackageURL(
            "pypi", name=name, version=wheel.version, qualifiers={"file_name": path.name}
        ),
        licenses=[_licence(wheel)],
        hashes=[_hash(path)],
    )


def _licence(wheel: Distribution) -> License:
    """The licence as the wheel states it: by SPDX, in a line of its own words, or by a class."""
    fields = metadata(wheel)
    classes = [c for c in fields.get_all("Classifier", []) if c.startswith("License ::")]
    stated = [fields.get("License-Expression"), fields.get("License")]
    stated += [line.rpartition(" :: ")[2] for line in classes]
    lines = [text for text in stated if text and "\n" not in text and text != "UNKNOWN"]
    return LicenseFactory().make_from_string(lines[0] if lines else "not stated")


def _hash(path: Path) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=sha256(path))
