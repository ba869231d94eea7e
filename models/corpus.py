"""A corpus that every Python brings along: the first paragraphs of the library's docstrings."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Tests, tools, tables and drawing: no documentation that one would search for an answer.
SKIPPED = frozenset(
    [
        "test",
        "tests",
        "idlelib",
        "site-packages",
        "lib2to3",
        "turtle",
        "turtledemo",
        "tkinter",
        "pydoc",
        "pydoc_data",
        "ensurepip",
        "encodings",
        "distutils",
        "lib-dynload",
        "__pycache__",
    ]
)
SHORTEST, LONGEST = 30, 400  # characters of a paragraph
Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

QUESTIONS = (
    "How do I compress a file with gzip?",
    "How can I read rows from a CSV file as dictionaries?",
    "parse a JSON string into Python objects",
    "How do I run a shell command and capture its output?",
    "create a temporary directory that is deleted afterwards",
    "How do I copy a whole directory tree?",
    "Which function finds files by a wildcard pattern?",
    "How do I send an e-mail through an SMTP server?",
    "download a web page from a URL",
    "How can I compute the median of a list of numbers?",
    "standard deviation of a sample",
    "pick a random element from a sequence",
    "generate a secure random token for a password reset",
    "How do I wrap long lines of text to a given width?",
    "compare two sequences and show the differences",
    "How do I run code in a separate process?",
    "wait for several threads to finish",
    "schedule a coroutine with a timeout",
    "How do I cache the results of a function?",
    "How do I sort a large stream of values with a heap?",
    "insert into a sorted list",
    "convert a date and time into a string",
    "which day of the week is a given date?",
    "How do I parse command-line arguments?",
    "write messages to a log file",
    "How do I rotate log files when they get too big?",
    "read a configuration file with sections",
    "extract the members of a tar archive",
    "add a file to a zip archive",
    "How do I check whether an IP address is private?",
    "parse an XML document into a tree",
    "escape special characters in HTML",
    "start a simple HTTP server",
    "measure how long a small piece of code takes",
    "How do I mock an object in a unit test?",
    "find out which functions of my program are slow",
    "print a nested data structure in a readable way",
    "How do I make a class with fields and automatic __init__?",
    "turn a text into base64",
    "open the user's web browser at an address",
)


@dataclass(frozen=True)
class Document:
    """One docstring: the dotted name it belongs to and its first paragraph on one line."""

    name: str
    summary: str

    @property
    def text(self) -> str:
        """What is embedded."""
        return f"{self.name}: {self.summary}"


def documents(limit: int = 2000, folder: Path | None = None) -> list[Document]:
    """Return at most `limit` documents, spread evenly over the library, always in one order."""
    root = folder or Path(sysconfig.get_path("stdlib"))
    found: dict[str, Document] = {}  # by summary: the library repeats itself
    for path in sorted(root.rglob("*.py")):
        if _is_public(path.relative_to(root)):
            for document in _read(path, _module_name(path.relative_to(root))):
                found.setdefault(document.summary, document)
    every = list(found.values())
    count = min(limit, len(every))
    return [every[i * len(every) // count] for i in range(count)]


def _is_public(path: Path) -> bool:
    parts = path.with_suffix("").parts
    private = any(p.startswith("_") and p != "__init__" for p in parts)
    return not private and not SKIPPED.intersection(parts)


def _module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(p for p in parts if p != "__init__")


def _read(path: Path, module: str) -> Iterator[Document]:
    """Read one source file; it is parsed, never imported."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for name, node in _definitions(tree, module):
        summary = _first_paragraph(ast.get_docstring(node) or "")
        if SHORTEST <= len(summary) <= LONGEST:
            yield Document(name, summary)


def _definitions(node: Definition, name: str) -> Iterator[tuple[str, Definition]]:
    yield name, node
    for child in node.body:
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue  # a local function is nobody's documentation
            if not child.name.startswith("_"):
                yield from _definitions(child, f"{name}.{child.name}")


def _first_paragraph(docstring: str) -> str:
    return " ".join(docstring.strip().split("\n\n")[0].split())
