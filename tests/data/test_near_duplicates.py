"""Near duplicates: the same picture saved, resized or moved is found, another picture is not."""

import io
import itertools

import imagehash
import numpy as np
import pytest
from PIL import Image

from lib.data import near_duplicates

SIZE = 128


def picture(seed: int, size: int = SIZE) -> np.ndarray:
    """A smooth random picture with fine grain, uint8 (S, S, 3)."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (24, 24, 3), np.uint8)
    smooth = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
    grain = generator.normal(0, 4, (size, size, 3))
    return (np.asarray(smooth) + grain).clip(0, 255).astype(np.uint8)


def saved(pixels: np.ndarray, kind: str = "JPEG", **options) -> np.ndarray:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, kind, **options)
    return np.asarray(Image.open(memory).convert("RGB"))


def resized(pixels: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.LANCZOS))


SAME = {
    "png": lambda p: saved(p, "PNG"),
    "jpeg": lambda p: saved(p, quality=50),
    "webp": lambda p: saved(p, "WEBP", quality=60),
    "halved": lambda p: resized(p, SIZE // 2),
    "halved_jpeg": lambda p: saved(resized(p, SIZE // 2), quality=50),
    "enlarged": lambda p: resized(p, 2 * SIZE),
    "cropped": lambda p: resized(p[1:-1, 1:-1], SIZE),
    "brighter": lambda p: (1.1 * p).clip(0, 255).astype(np.uint8),
    "grey": lambda p: np.repeat(p[..., 1:2], 3, axis=-1),
}
OTHER = {
    "mirrored": lambda p: p[:, ::-1],
    "turned": lambda p: np.rot90(p),
    "negative": lambda p: 255 - p,
}


def close(one: np.ndarray, other: np.ndarray) -> bool:
    first, second = near_duplicates.bits(
        [near_duplicates.fingerprint(one), near_duplicates.fingerprint(other)]
    )
    return near_duplicates.close(first, second[None]).tolist() == [0]


@pytest.mark.parametrize("change", SAME)
@pytest.mark.parametrize("seed", range(3))
def test_the_same_picture_is_found(change, seed):
    original = picture(seed)
    assert close(original, SAME[change](original))


@pytest.mark.parametrize("change", OTHER)
def test_a_mirrored_turned_or_inverted_picture_is_another(change):
    original = picture(0)
    assert not close(original, np.ascontiguousarray(OTHER[change](original)))


def test_different_pictures_are_far_apart():
    words = near_duplicates.bits([near_duplicates.fingerprint(picture(seed)) for seed in range(40)])
    assert near_duplicates.pairs(words, near_duplicates.DISTANCE + 20).tolist() == []


def test_a_fingerprint_is_imagehashs_own_at_its_working_size():
    small = picture(0, 64)
    expected = imagehash.phash(Image.fromarray(small[..., 1]), hash_size=16)
    assert near_duplicates.fingerprint(small) == str(expected)
    assert (
        len(near_duplicates.fingerprint(picture(0, 16)))
        == len(near_duplicates.fingerprint(picture(0, 300)))
        == 64
    )


def test_bits_and_distances_by_hand():
    zero, three, every = "0" * 64, "0" * 63 + "7", "f" * 64
    words = near_duplicates.bits([zero, three, every])
    assert (words.shape, words.dtype) == ((3, 4), np.uint64)
    assert near_duplicates.distances(words[:, None], words).tolist() == [
        [0, 3, 256],
        [3, 0, 253],
        [256, 253, 0],
    ]
    assert near_duplicates.close(words[0], words).tolist() == [0, 1]
    assert near_duplicates.bits([]).shape == (0, 4)
    assert near_duplicates.close(words[0], words[:0]).tolist() == []


@pytest.mark.parametrize("count", [0, 1, 70])
def test_pairs_are_those_that_a_loop_finds(count):
    generator = np.random.default_rng(count)
    words = generator.integers(0, 2**64, (count, 4), np.uint64)
    for index in range(5, count, 9):
        words[index] = words[index // 3] ^ np.array(
            [0, 2 ** generator.integers(64) | 1, 0, 5], "u8"
        )
    expected = [
        [first, second, int(near_duplicates.distances(words[first], words[second]))]
        for first, second in itertools.combinations(range(count), 2)
        if near_duplicates.distances(words[first], words[second]) <= near_duplicates.DISTANCE
    ]
    assert near_duplicates.pairs(words).tolist() == expected
    assert len(expected) >= (7 if count == 70 else 0)
