import numpy as np
import pytest

from smalti.runtime.rotation import block_for, hadamard_factors, signs, split_mix_64

BLOCKS = [b for b in range(1, 1025) if block_for(b) == b]


@pytest.mark.parametrize("block", [b for b in BLOCKS if b <= 448])
def test_matrices_are_symmetric_and_orthogonal(block: int) -> None:
    matrix = np.kron(*hadamard_factors(block))
    assert matrix.shape == (block, block)
    assert (np.abs(matrix) == 1).all()
    assert np.array_equal(matrix, matrix.T)
    assert np.array_equal(matrix @ matrix, block * np.eye(block))


@pytest.mark.parametrize("block", [b for b in BLOCKS if b > 448])
def test_factors_of_large_matrices_are(block: int) -> None:
    for factor in hadamard_factors(block):
        assert np.array_equal(factor, factor.T)
        assert np.array_equal(factor @ factor, len(factor) * np.eye(len(factor)))


@pytest.mark.parametrize("block", [3, 6, 7, 9, 14, 30, 36, 44, 60, 1536])
def test_no_such_matrix(block: int) -> None:
    with pytest.raises(ValueError, match=f"{block} is no Hadamard order"):
        hadamard_factors(block)


def test_block_sizes() -> None:
    small = {1: 1, 3: 1, 27: 1, 36: 12, 60: 20, 96: 96, 100: 20, 112: 112, 144: 48, 300: 20}
    large = {384: 128, 576: 64, 768: 256, 1152: 128, 1536: 512, 5120: 1024}
    for width, block in (small | large).items():
        assert block_for(width) == block, width


def test_every_width_has_a_block() -> None:
    for width in range(1, 3000):
        block = block_for(width)
        assert width % block == 0
        assert hadamard_factors(block)


def test_split_mix_64_is_the_published_one() -> None:
    """Values of the reference implementation, https://prng.di.unimi.it/splitmix64.c."""
    found = [int(v) for v in split_mix_64(1234567, 5)]
    assert found == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert int(split_mix_64(2**64 - 1, 1)[0]) == 0xE4D971771B652C20


def test_signs() -> None:
    word = int(split_mix_64(7, 2)[1])
    found = signs(7, 128)
    assert found.dtype == np.int8
    assert [int(v) for v in found[64:]] == [-1 if word >> i & 1 else 1 for i in range(64)]
    assert np.array_equal(signs(7, 70), found[:70])
    assert signs(7, 0).shape == (0,)
    assert abs(int(signs(3, 1 << 16).sum())) < 1024  # four standard deviations
