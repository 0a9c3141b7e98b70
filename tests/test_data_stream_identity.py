from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segwright.data.pairs import Pair
from segwright.data.stream_identity import PairDigests, pair_digest
from segwright.formats.masks import PaletteClasses
from segwright.storage import BytesBlob

DIGESTS = st.lists(st.sampled_from([0, 1, 2, 7, 2**63, 2**64 - 1]), max_size=12)


def pair(image: bytes, mask: bytes, name: str = "a", palette_classes: PaletteClasses = ()) -> Pair:
    return Pair(
        name, BytesBlob(f"{name} image", image), BytesBlob(f"{name} mask", mask), palette_classes=palette_classes
    )


def test_a_digest_knows_image_mask_and_colours_but_no_name_or_place() -> None:
    plain = pair_digest(pair(b"image", b"mask"))
    assert pair_digest(pair(b"image", b"mask", "somewhere else")) == plain
    others = [
        pair(b"imagem", b"ask"),
        pair(b"mask", b"image"),
        pair(b"image", b"other"),
        pair(b"other", b"mask"),
        pair(b"image", b"mask", palette_classes=((1, (255, 0, 0)),)),
    ]
    assert len({plain, *map(pair_digest, others)}) == 6
    assert 0 <= plain < 2**64


@given(DIGESTS, DIGESTS)
def test_passes_are_compared_as_multisets(one: list[int], other: list[int]) -> None:
    left, right = PairDigests.of(one), PairDigests.of(other)
    assert left.count_beyond(right) == sum((Counter(one) - Counter(other)).values())
    union = left.union(right)
    assert Counter(union.values.tolist()) == Counter(one) | Counter(other)
    assert not union.complete and (np.diff(union.values.astype(object)) >= 0).all()
    assert (left.fingerprint == right.fingerprint) == (sorted(one) == sorted(other))
    assert all((digest in left) == (digest in one) for digest in other)
