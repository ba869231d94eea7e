"""A search through Python's documentation at 32, 8, 4, 3 and 2 bits a weight, side by side.

Run `python -m smalti.models.demo`. Files are kept in `<out>/demo`, so that a second run only
measures.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from smalti.models.corpus import Document
    from smalti.models.demo_measure import Embedded, Latency
    from smalti.models.demo_report import Row

PARAMETERS = 22_565_376  # of the fp32 model, embeddings included
SENTENCES, ROUNDS = 80, 3
SHOWN = ("smalti 3-bit", (0, 9, 14))  # whose answers to which questions are printed

Say = Callable[[str], None]


@click.command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("build"))
@click.option("--threads", type=click.IntRange(1), default=1, help="Threads of the p50 and p90.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON, no table.")
def main(out: Path, threads: int, as_json: bool) -> None:
    """Compare a sentence encoder in fp32 with ONNX Runtime's and smalti's quantized files.

    Leaves demo.json and demo.png in --out, and the model files in its folder demo.
    """
    from smalti.runtime.errors import SmaltiError

    try:
        _run(out, threads, as_json)
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}; pip install 'smalti[demo]'") from None
    except SmaltiError as error:
        raise click.ClickException(str(error)) from None


def _run(out: Path, threads: int, as_json: bool) -> None:
    from rich.console import Console

    from smalti.export.report import stdout_console
    from smalti.models import corpus, demo_report

    with Console(stderr=True).status("reading the documentation") as status:
        documents = corpus.documents()
        paths = _files(out / "demo", status.update)
        found = _embeddings(paths, documents, status.update)
        status.update("timing")
        rows = _rows(paths, found, *_timings(paths, documents, threads))
    demo_report.write(out / "demo.json", demo_report.as_json(rows) + "\n")
    demo_report.draw(rows, out / "demo.png")
    if as_json:
        click.echo(demo_report.as_json(rows))
        return
    stdout_console().print(demo_report.table(rows))
    click.echo(_answers(found, documents))


def _files(folder: Path, say: Say) -> dict[str, Path]:
    from smalti.models.demo_files import VARIANTS, built

    folder.mkdir(parents=True, exist_ok=True)
    return {v.name: built(v, folder, partial(_say_of, say, v.name)) for v in VARIANTS}


def _say_of(say: Say, name: str, stage: str) -> None:
    say(f"{name}: {stage}")


def _embeddings(
    paths: Mapping[str, Path], documents: Sequence[Document], say: Say
) -> dict[str, Embedded]:
    from smalti.models.corpus import QUESTIONS
    from smalti.models.demo_measure import embedded

    texts = [document.text for document in documents]
    found = {}
    for name, path in paths.items():
        say(f"{name}: embedding {len(texts)} texts")
        found[name] = embedded(path, texts, QUESTIONS)
    return found


def _timings(
    paths: Mapping[str, Path], documents: Sequence[Document], threads: int
) -> tuple[dict[str, Latency], dict[str, Latency]]:
    """Time all files with `threads` threads, and with two where there are two cores."""
    from smalti.models.demo_measure import latencies
    from smalti.runtime.session import Session

    texts = [document.text for document in documents[:: max(1, len(documents) // SENTENCES)]]

    def timed(count: int) -> dict[str, Latency]:
        runs = {name: Session(path, threads=count).run for name, path in paths.items()}
        return latencies(runs, texts[:SENTENCES], ROUNDS)

    return timed(threads), timed(2) if (os.cpu_count() or 1) > 1 else {}


def _rows(
    paths: Mapping[str, Path],
    found: Mapping[str, Embedded],
    times: Mapping[str, Latency],
    twice: Mapping[str, Latency],
) -> list[Row]:
    """Return a row a file; the first is what the others are compared with."""
    from smalti.models.demo_measure import mean_cosine, overlap
    from smalti.models.demo_report import Row
    from smalti.runtime.artifact import open_artifact

    baseline = found[next(iter(paths))]
    rows = []
    for name, path in paths.items():
        size = open_artifact(path).bytes
        rows.append(
            Row(
                name,
                file_mb=size / 1e6,
                bits=8 * size / PARAMETERS,
                p50_ms=times[name].p50_ms,
                p90_ms=times[name].p90_ms,
                p50_2t_ms=twice[name].p50_ms if twice else None,
                cosine=mean_cosine(found[name], baseline),
                overlap10=overlap(found[name], baseline),
                stsb=found[name].stsb,
            )
        )
    return rows


def _answers(found: Mapping[str, Embedded], documents: Sequence[Document]) -> str:
    from smalti.models.corpus import QUESTIONS
    from smalti.models.demo_report import answers_text

    name, chosen = SHOWN
    answers, expected = found[name].answers(), next(iter(found.values())).answers()
    picked = list(chosen)
    return f"Answers of {name} (* among the best ten of fp32 too):" + answers_text(
        [QUESTIONS[i] for i in picked],
        [document.name for document in documents],
        answers[picked],
        expected[picked],
    )


if __name__ == "__main__":
    main()
