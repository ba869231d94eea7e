import numpy as np
import pytest
import torch

from smalti.models.pictures import centers, portrait, psnr, side_by_side


def test_the_portrait_is_in_colour() -> None:
    image = portrait()
    assert image.shape == (1, 3, 600, 512)
    assert image.dtype == torch.float32
    assert (image.min(), image.max()) == (0, 1)
    assert image.mean((0, 2, 3)).diff().abs().max() > 0.05


def test_centers_go_row_after_row() -> None:
    assert centers(1, 2).tolist() == [[0.25, 0.5], [0.75, 0.5]]
    x = centers(48, 40)
    assert len(x) == 48 * 40
    assert x[0].tolist() == pytest.approx([0.5 / 40, 0.5 / 48])
    assert x[1, 0] > x[0, 0]


def test_a_tenth_off_is_20_db() -> None:
    assert psnr(np.full(5, 0.4), np.full(5, 0.5)) == pytest.approx(20)


def test_columns_of_pictures_stand_under_their_names() -> None:
    grey, red = np.full((4, 6), 0.5), np.zeros((4, 6, 3))
    figure = side_by_side({"photo": [red, red, red], "found": [grey, red, grey]})
    axes = np.array(figure.axes).reshape(3, 2)
    assert [place.get_title() for place in axes[0]] == ["photo", "found"]
    assert np.array_equal(axes[2, 1].images[0].get_array(), grey)
    assert axes[2, 1].images[0].get_clim() == (0, 1)
