"""Finds the recipes of smalti.models without importing them, which would take seconds of Torch."""

from __future__ import annotations

import ast
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import smalti.models
from smalti.models.about import About
from smalti.runtime.errors import SmaltiError


class UnknownRecipeError(SmaltiError):
    """A name that no recipe has."""

    exit_code = 2


@dataclass(frozen=True)
class Listed:
    """A recipe as its source says: module `smalti.models.<name>`.

    text: the first paragraph of its docstring. cache: the file of its weights under SMALTI_CACHE,
    empty where it has none of its own. remark: what a reader of its results should know.
    """

    name: str
    about: About
    text: str
    cache: str = ""
    remark: str = ""

    @property
    def paper(self) -> str:
        """Authors and year of the first paper."""
        first = self.about.papers[0] if self.about.papers else ""
        match = re.match(r".*?\d{4}", first)
        return match[0] if match else first

    def cached_parameters(self) -> int | None:
        """Count the numbers in the file of trained weights; None without it."""
        path = Path(os.environ.get("SMALTI_CACHE", "build"), self.cache)
        if not path.is_file():
            return None
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes: list[list[int]] = [header[key]["shape"] for key in header if key[:2] != "__"]
        return sum(map(prod, shapes))


def recipes() -> list[Listed]:
    """Return all modules of smalti.models that say `ABOUT = About(...)`, by name.

    Raises:
        ValueError: an ABOUT of something else than literals, which cannot be read.
    """
    paths = sorted(path for folder in smalti.models.__path__ for path in Path(folder).glob("*.py"))
    sources = {path.stem: path.read_text("utf-8") for path in paths}
    return [_listed(name, text) for name, text in sources.items() if "\nABOUT = " in text]


def chosen(names: Sequence[str]) -> list[Listed]:
    """Return the recipes of these names, all without any.

    Raises:
        UnknownRecipeError: lists the names there are.
    """
    known = {recipe.name: recipe for recipe in recipes()}
    for name in names:
        if name not in known:
            raise UnknownRecipeError(f"no recipe {name!r}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(known.values())


def _listed(name: str, source: str) -> Listed:
    tree = ast.parse(source)
    values = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    paragraph = (ast.get_docstring(tree) or "").partition("\n\n")[0]
    cache, remark = (_text(values.get(key)) for key in ("CACHE", "REMARK"))
    return Listed(name, _about(name, values["ABOUT"]), paragraph, cache, remark)


def _about(name: str, call: ast.expr) -> About:
    try:
        assert isinstance(call, ast.Call)
        assert not call.args
        fields: dict[str, Any] = {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
        return About(**fields)
    except (AssertionError, ValueError, TypeError) as error:
        raise ValueError(
            f"smalti.models.{name}: ABOUT: {error}; write About(papers=(...), metric=...) with all "
            "values as literals, since it is read without being run"
        ) from error


def _text(value: ast.expr | None) -> str:
    return str(ast.literal_eval(value)) if value is not None else ""
