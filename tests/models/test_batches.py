"""Training data in a new order each epoch."""

import torch

from smalti.models.batches import Shuffled


def test_an_epoch_sees_whole_samples_once_and_leaves_the_rest_out() -> None:
    numbers = torch.arange(70)
    data = Shuffled(numbers, -numbers.view(70, 1), batch=16)
    epochs = [list(data), list(data)]
    for batches in epochs:
        assert len(batches) == len(data) == 4
        assert all(torch.equal(x, -y[:, 0]) for x, y in batches)
        assert len({int(i) for x, _ in batches for i in x}) == 64
    assert not torch.equal(epochs[0][0][0], epochs[1][0][0])


def test_batches_are_changed_as_told() -> None:
    data = Shuffled(torch.arange(6), batch=3, change=lambda batch: (batch[0] + 10,))
    assert sorted(int(i) for (x,) in data for i in x) == list(range(10, 16))
