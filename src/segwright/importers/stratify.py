"""Assigns groups of pairs to splits, so that each split has its share of the pairs and of every class."""

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


def stratify(
    sizes: NDArray[np.int64],
    pixels: NDArray[np.int64],
    shares: Mapping[str, float],
    seed: int,
    names: Sequence[str],
) -> list[str]:
    """The split of each of G groups, from their numbers of pairs, [G], and pixels by class, [G, C].

    `shares` of the splits sum to 1; with at least as many groups as splits none stays empty. The groups that hold most
    of a class choose first, equal ones in an order that `seed` draws from `names`. Each goes to a split that has room
    for its pairs, to the one in which it leaves the least squared distance of all classes from their shares, or lets a
    class appear that was missing.

    Source: a greedy choice like the one of scikit-learn's StratifiedGroupKFold, and of Sechidis, Tsoumakas, Vlahavas:
    On the stratification of multi-label data (2011), section 3.
    """
    parts = pixels / np.maximum(pixels.sum(0), 1)
    wanted = np.array(list(shares.values()))
    rooms = np.maximum(np.round(wanted * sizes.sum()), 1)
    rooms[0] = sizes.sum() - rooms[1:].sum()  # what the others leave
    held = np.zeros((len(wanted), pixels.shape[1]))
    splits = np.zeros(len(sizes), int)
    empty = set(range(len(wanted)))

    def turn(group: int) -> tuple[int, bytes]:
        magnitude = math.frexp(parts[group].max(initial=0))[1]
        return -magnitude, hashlib.sha256(f"{seed} {names[group]}".encode(errors="surrogateescape")).digest()

    for place, group in enumerate(sorted(range(len(sizes)), key=turn)):
        waiting = len(sizes) - place
        fitting = [split for split in range(len(wanted)) if rooms[split] >= sizes[group]]
        candidates = sorted(empty) if waiting <= len(empty) else fitting or [int(rooms.argmax())]
        costs = []
        for split in candidates:
            then = held.copy()
            then[split] += parts[group]
            costs.append(((then - wanted[:, None]) ** 2 / wanted[:, None] + (then == 0)).sum())
        chosen = candidates[int(np.argmin(costs))]
        splits[group] = chosen
        held[chosen] += parts[group]
        rooms[chosen] -= sizes[group]
        empty.discard(chosen)
    return [list(shares)[split] for split in splits]
