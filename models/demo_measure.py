"""What the demo measures: embeddings, their distance from fp32's, and latency."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smalti.models import minilm
from smalti.models.minilm import Array, Run

TOP = 10
CHUNK = 10  # sentences in a row on one engine


@dataclass(frozen=True)
class Embedded:
    """Embeddings of documents (n, 384) and questions (m, 384), and the STS-B score or None."""

    documents: Array
    questions: Array
    stsb: float | None

    def answers(self, count: int = TOP) -> Array:
        """Return the numbers of the nearest documents of each question, (m, count)."""
        return np.argsort(-self.questions @ self.documents.T, axis=1, kind="stable")[:, :count]


@dataclass(frozen=True)
class Latency:
    """Milliseconds a sentence."""

    p50_ms: float
    p90_ms: float


def embedded(path: Path, documents: Sequence[str], questions: Sequence[str]) -> Embedded:
    """Run a file over all texts, or read what an earlier run of the same file has left."""
    cache = path.with_suffix(".npz")
    key = _key(path, [*documents, *questions])
    if not cache.is_file() or str(np.load(cache)["key"]) != key:
        draft = cache.with_suffix(".draft.npz")
        embeddings, stsb = _embed(path, [*documents, *questions])
        np.savez(draft, key=key, embeddings=embeddings, stsb=stsb)
        os.replace(draft, cache)
    with np.load(cache) as found:
        both, stsb = found["embeddings"], found["stsb"]
    count = len(documents)
    return Embedded(both[:count], both[count:], None if np.isnan(stsb) else float(stsb))


def _key(path: Path, texts: Sequence[str]) -> str:
    from smalti.runtime import native

    stamp = path.with_suffix(".key").read_text()
    library = hashlib.sha256(native.library_path().read_bytes()).hexdigest()
    facts = [stamp, library, str(minilm.stsb_file()), *texts]
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def _embed(path: Path, texts: Sequence[str]) -> tuple[Array, float]:
    from smalti.runtime.session import Session

    run = Session(path, threads=os.cpu_count()).run
    stsb = minilm.evaluate(run, batch=32, length=0).get("stsb_spearman", np.nan)
    return minilm.encode(run, texts), stsb


def mean_cosine(a: Embedded, b: Embedded) -> float:
    """Return how alike the embeddings of the documents are, 1 if equal."""
    return float(np.mean(np.sum(a.documents * b.documents, axis=1)))


def overlap(a: Embedded, b: Embedded) -> float:
    """Return which part of the nearest documents two encoders agree on."""
    pairs = zip(a.answers(), b.answers(), strict=True)
    return float(np.mean([len(np.intersect1d(x, y)) / len(x) for x, y in pairs]))


def latencies(runs: Mapping[str, Run], sentences: Sequence[str], rounds: int) -> dict[str, Latency]:
    """Time engines in turn, a few sentences each, so that a drifting machine hits all alike.

    A run that is not counted goes before each turn: it brings the weights into the caches and
    lets the threads of the engine before go to sleep.
    """
    inputs = [minilm.tokenize([sentence]) for sentence in sentences]
    chunks = [inputs[i : i + CHUNK] for i in range(0, len(inputs), CHUNK)]
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for chunk in chunks * rounds:
        for name, run in runs.items():
            run(*chunk[0])
            samples[name] += [_milliseconds(run, arrays) for arrays in chunk]
    return {name: Latency(*_percentiles(found)) for name, found in samples.items()}


def _milliseconds(run: Run, arrays: tuple[Array, Array]) -> float:
    start = time.perf_counter()
    run(*arrays)
    return 1e3 * (time.perf_counter() - start)


def _percentiles(samples: Sequence[float]) -> tuple[float, float]:
    p50, p90 = np.percentile(samples, (50, 90))
    return float(p50), float(p90)
