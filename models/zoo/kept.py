"""What is known of a recipe, kept in `results.json` beside its files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Metrics = dict[str, float]
RESULTS = "results.json"
PICTURE = "picture.png"
ALIKE = "the same as "


@dataclass(frozen=True)
class Score:
    """One file: what evaluate() gave, its bytes and how far it is from Torch; or why there is none.

    error: the largest relative error of an output against the module that was exported, in float.
    """

    metrics: Metrics = field(default_factory=dict)
    bytes: int = 0
    error: float = 0.0
    reason: str = ""


@dataclass
class Results:
    """All of a recipe's results.

    key: digest of what they rest on. problem: why it cannot run here. parameters, float_bytes,
    torch: the trained module's numbers, their bytes, and its metrics. notes: by row, why it has no
    files of its own. scores: by row and engine. times: by engine and row, median milliseconds of
    one run, with `threads` on a `machine`.
    """

    key: str = ""
    problem: str = ""
    parameters: int = 0
    float_bytes: int = 0
    torch: Metrics = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)
    times: dict[str, dict[str, float]] = field(default_factory=dict)
    threads: int = 1
    machine: str = ""

    @property
    def engines(self) -> list[str]:
        """Those that a row has been tried in."""
        return sorted({engine for of_row in self.scores.values() for engine in of_row})

    @property
    def status(self) -> str:
        """How far it is, in a few words."""
        files = [score for of_row in self.scores.values() for score in of_row.values()]
        refused = sum(bool(score.reason) for score in files)
        found = f"{len(files) - refused} files"
        return self.problem or (f"{found}, {refused} refused" if refused else found)

    def has(self, row: str, engine: str) -> bool:
        """Say whether there is a file with its score."""
        score = self.scores.get(row, {}).get(engine)
        return score is not None and not score.reason

    def alike(self, row: str) -> str:
        """Return the row whose files are a row's: its own, unless a note says another."""
        note = self.notes.get(row, "")
        return note.removeprefix(ALIKE) if note.startswith(ALIKE) else row

    def write(self, folder: Path) -> None:
        """Write beside, then rename."""
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{RESULTS}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n")
        os.replace(draft, folder / RESULTS)


def file_of(folder: Path, row: str, engine: str) -> Path:
    """Return the place of a row's file."""
    return folder / f"{row.replace(' ', '')}.{engine}"


def read(folder: Path) -> Results | None:
    """Read what is kept in a folder; None where nothing is."""
    path = folder / RESULTS
    if not path.is_file():
        return None
    found = json.loads(path.read_text())
    found["scores"] = {row: _scores(of_row) for row, of_row in found["scores"].items()}
    return Results(**found)


def _scores(of_row: Mapping[str, Mapping[str, Any]]) -> dict[str, Score]:
    return {engine: Score(**score) for engine, score in of_row.items()}
