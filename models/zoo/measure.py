"""Makes a recipe's files, scores and times them, and keeps what it has found."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from smalti.devices.machine import cores
from smalti.models.zoo import kept, pictures
from smalti.models.zoo.kept import Results, Score
from smalti.models.zoo.storage import ROWS
from smalti.models.zoo.subject import Subject, torch_run
from smalti.quant.plan import FLOAT
from smalti.runtime import native
from smalti.runtime.bench import time_interleaved
from smalti.runtime.errors import FileError, MissingRuntimeError, SmaltiError
from smalti.runtime.session import Session

SECONDS = 1.0  # of timing for each file
NOTHING = "no weights that have such a format"

Say = Callable[[str], None]


def measure(name: str, folder: Path, engines: Sequence[str], threads: int, say: Say) -> Results:
    """Measure what is missing in a folder, and return all that is known then.

    Raises:
        FileError, MissingRuntimeError: data or a package are missing; kept as the `problem`.
    """
    results = kept.read(folder) or Results()
    try:
        subject = Subject(name, folder / "work", say)
        if results.key != subject.key:
            results = _begun(subject)
    except (FileNotFoundError, ModuleNotFoundError) as error:
        results.problem = str(error)
        results.write(folder)
        kind = FileError if isinstance(error, FileNotFoundError) else MissingRuntimeError
        raise kind(f"{name}: {error}") from None
    results.problem = ""
    work = _Work(subject, results, folder, engines, threads)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporters
        for row in ROWS:
            work.measure(row)
    for engine in engines:
        work.time(engine)
    pictures.keep(subject, results, folder)
    return results


def _begun(subject: Subject) -> Results:
    subject.say("scoring in Torch")
    return Results(
        key=subject.key,
        parameters=sum(p.numel() for p in subject.trained.parameters()),
        float_bytes=sum(t.nbytes for t in subject.trained.state_dict().values()),
        torch=subject.evaluate(torch_run(subject.trained)),
    )


@dataclass(frozen=True)
class _Work:
    """What is being measured, and where it is kept."""

    subject: Subject
    results: Results
    folder: Path
    engines: Sequence[str]
    threads: int

    def measure(self, row: str) -> None:
        """Make, run and score the row's files in the engines that lack one."""
        todo = [engine for engine in self.engines if not self._has(row, engine)]
        if row in self.results.notes or not todo:
            return
        note = self._note(row)
        if note:
            self.results.notes[row] = note
            self.results.write(self.folder)
            return
        for engine in todo:
            self.results.times.pop(engine, None)
            self.results.scores.setdefault(row, {})[engine] = self._score(row, engine)
            self.results.write(self.folder)

    def _has(self, row: str, engine: str) -> bool:
        is_file = kept.file_of(self.folder, row, engine).is_file()
        return is_file and self.results.has(row, engine)

    def _note(self, row: str) -> str:
        """Return why a row needs no files of its own, or nothing."""
        if row == FLOAT:
            return ""
        try:
            storage = self.subject.storage(row)
            alike = [r for r in ROWS[1 : ROWS.index(row)] if self.subject.storage(r) == storage]
        except Exception:  # shown where the row's files are to be made
            return ""
        if storage.is_float:
            return NOTHING
        return f"{kept.ALIKE}{alike[0]}" if alike else ""

    def _score(self, row: str, engine: str) -> Score:
        path = kept.file_of(self.folder, row, engine)
        try:
            error = self.subject.export(row, engine, path)
            self.subject.say(f"{row}: scoring {path.name}")
            session = Session(path, threads=self.threads)
            return Score(self.subject.evaluate(session.run), session.artifact.bytes, error)
        except Exception as error:  # of an engine, its converter or the recipe
            return Score(reason=explained(error))

    def time(self, engine: str) -> None:
        """Time all files of an engine in turn."""
        rows = [row for row in self.results.scores if self._has(row, engine)]
        known = self.results.times.get(engine, {})
        if list(known) == rows and self.results.threads == self.threads:
            return
        self.subject.say(f"timing .{engine} files")
        arrays = [x.numpy() for x in self.subject.inputs]
        paths = {row: kept.file_of(self.folder, row, engine) for row in rows}
        runs = {
            row: partial(Session(path, threads=self.threads).run, *arrays)
            for row, path in paths.items()
        }
        timings = time_interleaved(runs, SECONDS) if runs else []
        self.results.times[engine] = {timing.name: timing.p50_ms for timing in timings}
        self.results.threads = self.threads
        self.results.machine = f"{cores()[0].name}, {native.isa()}, threads: {self.threads}"
        self.results.write(self.folder)


def explained(error: Exception) -> str:
    """Return the first line of an error, with its type unless it is one that smalti explains."""
    text = str(error).strip().partition("\n")[0]
    return text if isinstance(error, SmaltiError) else f"{type(error).__name__}: {text}"
