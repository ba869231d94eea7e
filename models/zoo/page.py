"""Writes the page of all recipes from what is kept of them, without running anything."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from smalti.export.files import written_whole
from smalti.models.zoo import kept, report
from smalti.models.zoo.bars import bars
from smalti.models.zoo.kept import PICTURE, Results
from smalti.models.zoo.listing import Listed
from smalti.models.zoo.report import ENGINES, NO_FILE
from smalti.models.zoo.storage import ROWS

HEAD = """# Models

Every recipe of `models/` by the formats of its weights: what each costs in quality, bytes and time,
in ONNX Runtime and in LiteRT. `smalti models` lists them, `smalti models run NAME` measures one on
your machine, and `make models` measures all and writes this page.

- **float**: as trained, and as published or trained here in minutes.
- **int8**: one scale for a group of columns (LiteRT: for a row); the engine's own operators.
- **4, 3, 2 bit**: a [plan](quality.md#plans) that takes no more bytes than `vq-2x256`, `vq-2x64` or
  `vq-4x256` would for all layers, calibrated on the recipe's inputs, or else on made-up ones.
  Nothing is trained after.
- **Tables of features** take 8, 4 or 2 bits (`int8`, `vq-2x256`, `vq-4x256`), and 4 in the row of 3
  bits. Where they hold most of a model, the layers around them take int8. Bilateral grids take int8
  in all of these rows.

Files hold the graph, a manifest and, for ONNX, a fallback in standard operators beside the weights:
about 5 kB for each shape of layer and format, which weigh in small models. *Worse by* is relative
to the module in Torch. *ms* is the median of one run of the recipe's example inputs, all files of
an engine in turn.
"""


def write(recipes: Sequence[Listed], out: Path, path: Path) -> None:
    """Write a page of the results under `out`, and pictures into a folder beside it."""
    found = [(recipe, kept.read(out / recipe.name) or Results()) for recipe in recipes]
    for recipe, _ in found:
        picture = out / recipe.name / PICTURE
        if picture.is_file():
            with written_whole(_picture(path, recipe.name)) as draft:
                shutil.copyfile(picture, draft)
    with written_whole(path) as draft:
        draft.write_text("\n".join(_lines(found, path)) + "\n", encoding="utf-8")


def _picture(path: Path, name: str) -> Path:
    return path.with_suffix("") / f"{name}.png"


def _lines(found: Sequence[tuple[Listed, Results]], path: Path) -> Iterator[str]:
    yield HEAD
    yield from _table(["recipe", "engine", "metric", *ROWS], _overview(found))
    yield "\n## Papers\n"
    for recipe, _ in found:
        yield f"- [{recipe.name}](#{recipe.name}): {'; '.join(recipe.about.papers) or NO_FILE}"
    for recipe, results in found:
        yield from _section(recipe, results, path)


def _overview(found: Sequence[tuple[Listed, Results]]) -> Iterator[list[str]]:
    for recipe, results in found:
        about = recipe.about
        name = f"[{recipe.name}](#{recipe.name})"
        unit = f", {about.unit}" if about.unit else ""
        metric = f"{about.metric}{unit} {'↑' if about.rises else '↓'}"
        for engine in results.engines:
            cells = [_cell(recipe, results, row, engine) for row in ROWS]
            yield [name, ENGINES[engine], metric, *cells]
            name, metric = "", ""
        if not results.engines:
            yield [name, "", metric, "not measured", *[""] * (len(ROWS) - 1)]


def _cell(recipe: Listed, results: Results, row: str, engine: str) -> str:
    score = results.scores.get(row, {}).get(engine)
    if score is None:
        other = results.alike(row)
        return f"as {other}" if other != row else ""
    found = report.metric(recipe.about, score.metrics)
    return NO_FILE if found is None else f"{report.number(found)}, {report.size(score.bytes)}"


def _section(recipe: Listed, results: Results, path: Path) -> Iterator[str]:
    about = recipe.about
    yield f"\n## {recipe.name}\n\n{recipe.text}\n\nData: {about.data}."
    if results.problem or not results.engines:
        yield f"\nNot measured{f': {results.problem}' if results.problem else ''}."
    if results.engines:
        also = report.others(about, results)
        yield f"\n{report.trained(about, results)}.{f' Also: {also}.' if also else ''}\n"
        yield from _table(report.heading(about, results.engines), report.lines(about, results))
        if results.machine:
            yield f"\nms: {results.machine}.\n"
        yield from (f"- {line}" for line in [*report.notes(results), *bars(about, results)])
    if recipe.remark:
        yield f"\n{recipe.remark}"
    if _picture(path, recipe.name).is_file():
        yield f"\n![{recipe.name}]({path.stem}/{recipe.name}.png)"


def _table(head: Sequence[str], rows: Iterator[list[str]] | Sequence[list[str]]) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from (_row(row) for row in rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
