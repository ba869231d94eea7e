"""Dockerfile.arm and the scripts that build from it, as far as they can be seen without running."""

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "devices" / "arm64"))
import root_fs  # noqa: E402


@pytest.fixture(scope="module")
def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions with their arguments, by the name of their stage."""
    found: dict[str, list[tuple[str, str]]] = {}
    lines = [s for s in (ROOT / "Dockerfile.arm").read_text().splitlines() if s and s[0] != "#"]
    for line in lines:
        instruction, argument = line.split(maxsplit=1)
        if instruction == "FROM":
            found[name := (re.findall(r" AS (\w+)", line) or ["default"])[0]] = []
        elif instruction != "ARG":
            found[name].append((instruction, argument))
    return found


def test_nothing_runs_while_the_image_is_built(stages) -> None:
    assert {instruction for instruction, _ in stages["plain"]} == {
        *("COPY", "ENV", "WORKDIR", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD")
    }
    assert stages["default"] == []
    assert [instruction for instruction, _ in stages["checked"]] == ["RUN"]


def test_no_shell_and_no_root(stages) -> None:
    plain = dict(stages["plain"])
    entry = json.loads(plain["ENTRYPOINT"])
    assert json.loads(plain["HEALTHCHECK"].split("CMD", 1)[1]) == [*entry, "doctor"]
    assert json.loads(plain["CMD"]) == ["doctor"]
    assert all(int(number) > 0 for number in plain["USER"].split(":"))
    assert plain["USER"] == root_fs.NOBODY


def test_a_missing_tool_is_named_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_fs.os, "geteuid", lambda: 1000)
    with pytest.raises(
        root_fs.MissingToolError, match="no-such is missing: apt-get install some-package"
    ) as e:
        root_fs.need("no-such", "some-package")
    assert "as root" in str(e.value)
