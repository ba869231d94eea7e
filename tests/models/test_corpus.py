from smalti.models import corpus


def _library(folder):
    (folder / "test").mkdir()
    (folder / "pack").mkdir()
    (folder / "test" / "test_it.py").write_text('"""Documentation of a test that nobody wants."""')
    (folder / "broken.py").write_text("def f(:\n")
    (folder / "_hidden.py").write_text('"""Documentation of a private module, not wanted."""')
    (folder / "pack" / "__init__.py").write_text('"""A package that holds things together."""')
    (folder / "pack" / "tool.py").write_text(
        '"""Short."""\n'
        "class Tool:\n"
        '    """Cuts things\n    into very many pieces.\n\n    A second paragraph.\n    """\n'
        "    def cut(self):\n"
        '        """Cut one thing into many pieces."""\n'
        "        def inner():\n"
        '            """A local function is not documentation."""\n'
        "    def _cut(self):\n"
        '        """Private methods are not documentation."""\n'
        "def again():\n"
        '    """Cut one thing into many pieces."""\n'
    )
    return folder


def test_reads_public_first_paragraphs_once(tmp_path):
    found = corpus.documents(folder=_library(tmp_path))
    assert [document.text for document in found] == [
        "pack: A package that holds things together.",
        "pack.tool.Tool: Cuts things into very many pieces.",
        "pack.tool.Tool.cut: Cut one thing into many pieces.",
    ]


def test_a_limit_spreads_evenly(tmp_path):
    for i in range(10):
        (tmp_path / f"m{i}.py").write_text(f'"""The documentation of module number {i}."""')
    found = corpus.documents(limit=5, folder=tmp_path)
    assert corpus.documents(limit=5, folder=tmp_path) == found
    assert [document.name for document in found] == ["m0", "m2", "m4", "m6", "m8"]


def test_the_library_gives_a_clean_corpus():
    found = corpus.documents(limit=2000)
    assert 1000 < len(found) <= 2000
    assert len({document.summary for document in found}) == len(found)
    assert all("\n" not in document.text for document in found)
    assert not corpus.SKIPPED.intersection(document.name.split(".")[0] for document in found)


def test_questions_differ():
    assert 25 <= len(set(corpus.QUESTIONS)) == len(corpus.QUESTIONS) <= 40
