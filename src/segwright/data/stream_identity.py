"""Which data a stream holds: a digest of each pair, whatever the order in which the pairs come. 8 bytes a pair."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from segwright.data.pairs import Pair


def pair_digest(pair: Pair) -> int:
    """The first 64 bits of a SHA-256 over image, mask and colour map; fingerprints of folders cover names as well."""
    parts = (pair.image.read(), pair.mask.read(), repr(pair.palette_classes).encode())
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    return int.from_bytes(hashlib.sha256(digests).digest()[:8], "little")


@dataclass(frozen=True, eq=False)
class PairDigests:
    """The pairs of one pass over a stream, or of its part that was read so far."""

    values: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """Their digests, [N], ascending; equal pairs are repeated."""
    complete: bool = False  # whether these are all pairs of a pass

    @classmethod
    def of(cls, digests: Iterable[int], *, complete: bool = False) -> "PairDigests":
        """Digests in any order."""
        return cls(np.sort(np.fromiter(digests, np.uint64)), complete)

    def __len__(self) -> int:
        return len(self.values)

    def __contains__(self, digest: int) -> bool:
        return bool(self._counts(np.array([digest], np.uint64))[0])

    @property
    def fingerprint(self) -> str:
        """A SHA-256 over the digests; it does not depend on the order of the pairs."""
        return hashlib.sha256(self.values.astype("<u8").tobytes()).hexdigest()

    def count_beyond(self, other: "PairDigests") -> int:
        """How many pairs are here and not in `other`; of equal pairs each counts."""
        values, counts = np.unique(self.values, return_counts=True)
        return int(np.maximum(counts - other._counts(values), 0).sum())

    def union(self, other: "PairDigests") -> "PairDigests":
        """The pairs that are in either of two parts; equal pairs as often as in the one that has more of them."""
        values = np.union1d(self.values, other.values)
        return PairDigests(np.repeat(values, np.maximum(self._counts(values), other._counts(values))))

    def _counts(self, values: NDArray[np.uint64]) -> NDArray[np.int64]:
        after, before = np.searchsorted(self.values, values, "right"), np.searchsorted(self.values, values, "left")
        return np.asarray(after - before, np.int64)
