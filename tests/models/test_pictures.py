import numpy as np
import pytest
import torch

from smalti.models.pictures import (
    centers,
    luma,
    middle,
    photo,
    portrait,
    psnr,
    resized,
    side_by_side,
)


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


def test_luma_is_that_of_scikit_image() -> None:
    from skimage.color import rgb2ycbcr

    image = np.random.default_rng(0).uniform(size=(1, 3, 4, 5))
    wanted = rgb2ycbcr(np.moveaxis(image, 1, -1))[..., 0] / 255
    assert luma(image) == pytest.approx(wanted, abs=1e-9)


def test_photos_are_in_colour_also_grey_ones() -> None:
    assert photo("coffee").shape == (1, 3, 400, 600)
    grey = photo("camera")
    assert grey.shape == (1, 3, 512, 512)
    assert grey.dtype == torch.float32
    assert torch.equal(grey[:, 0], grey[:, 2])
    assert torch.equal(photo("portrait"), portrait())


def test_the_middle_has_as_much_on_both_sides() -> None:
    assert middle(torch.arange(12).reshape(1, 1, 2, 6), 2, 2).flatten().tolist() == [2, 3, 8, 9]


def test_eight_bits_and_back_are_the_same() -> None:
    image = photo("chelsea")
    assert torch.equal(resized(image, *image.shape[2:]), image)
    assert resized(image, 150, 225).mean() == pytest.approx(float(image.mean()), abs=2e-3)


def test_pictures_stand_under_their_names() -> None:
    images = [np.zeros((4, 6)), np.ones((4, 6))]
    figure = side_by_side({"a": images, "b": images})
    assert [axes.get_title() for axes in figure.axes] == ["a", "b", "", ""]
