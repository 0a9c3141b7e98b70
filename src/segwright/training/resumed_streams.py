"""Whether a resumed training gets the streams that it had.

The files of a stream cannot be read beforehand, so its pairs become known bit by bit: the first ones before the first
step, all after a pass. A stream that cannot be shown to be the same never ends a training with a model of other data.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segwright.checks.prepare import Streams
from segwright.data.channels import SPLITS, Split
from segwright.data.pairs import Pair
from segwright.data.stream_identity import PairDigests, pair_digest
from segwright.distributed import Distributed
from segwright.errors import ResumeError, UserError
from segwright.training.checkpoints import START_OVER

logger = logging.getLogger(__name__)


@dataclass
class StreamIdentity:
    """What is known of the pairs of one stream."""

    first_pairs: str = ""  # fingerprint of the first pairs when the training began; empty: not known
    seen: PairDigests = field(default_factory=PairDigests)  # of a pass, or of the first one as far as it was read
    varies: bool = False  # whether passes held different pairs, so that the stream cannot be told from another
    unconfirmed: bool = False  # whether this comes from a checkpoint, and no whole pass was compared with it since

    @classmethod
    def begin(cls, first: Sequence[Pair]) -> "StreamIdentity":
        """What the first pairs show; a process that has not read them knows nothing."""
        seen = PairDigests.of(map(pair_digest, first))
        return cls(seen.fingerprint if first else "", seen)

    @classmethod
    def load(cls, facts: Mapping[str, Any], digests: Tensor) -> "StreamIdentity":
        """What `facts` and `to_tensor` gave to a checkpoint."""
        seen = PairDigests(digests.numpy().view(np.uint64), facts["complete"])
        return cls(facts["first_pairs"], seen, facts["varies"], unconfirmed=True)

    def facts(self) -> dict[str, Any]:
        """All but the digests, for a checkpoint's JSON."""
        return {"first_pairs": self.first_pairs, "complete": self.seen.complete, "varies": self.varies}

    def to_tensor(self) -> Tensor:
        """The digests as int64 [N], with the same 64 bits."""
        return torch.from_numpy(self.seen.values.view(np.int64).copy())

    def to_json(self) -> dict[str, Any]:
        """What a bundle says of the stream."""
        fingerprint = self.seen.fingerprint if self.known and self.seen.complete else ""
        return {"fingerprint": fingerprint, "first_pairs": self.first_pairs}

    @property
    def known(self) -> bool:
        """Whether the stream can be told from another."""
        return len(self.seen) > 0 and not self.varies

    def add(self, seen: PairDigests) -> None:
        """Add the pairs of a pass that has not ended."""
        if not self.seen.complete and not self.varies:
            self.seen = self.seen.union(seen)

    def check_pair(self, split: Split, pair: Pair, digest: int) -> None:
        """Raise ResumeError for a pair that the stream of the checkpoint did not hold."""
        if self.unconfirmed and self.known and self.seen.complete and digest not in self.seen:
            raise _other_stream(split, f"{pair.image.name} with its mask is not among its {len(self.seen)} pairs")

    def end_pass(self, split: Split, seen: PairDigests) -> None:
        """Compare a whole pass with what is known. Raises ResumeError where it is not the checkpoint's stream."""
        new, gone = seen.count_beyond(self.seen), self.seen.count_beyond(seen)
        if self.varies:
            return
        if not gone and not (new and self.seen.complete):
            self.seen, self.unconfirmed = seen, False
            return
        if self.unconfirmed:
            held = f"{'held' if self.seen.complete else 'had shown'} {len(self.seen)} pairs"
            raise _other_stream(split, f"it {held}; of this pass of {len(seen)}, {gone} are missing, {new} are new")
        self.varies = True
        logger.warning(
            f"{split}: this pass held {len(seen)} pairs, {new} of which were not in the pass before, and {gone} of "
            "those are missing: a resumed training cannot check that it gets the same stream."
        )


def end_pass(split: Split, seen: PairDigests | None, known: StreamIdentity | None, processes: Distributed) -> None:
    """Compare a whole pass with what is known, in all processes together; both are None where another one reads.

    Raises UserError for other pairs than the checkpoint's, and where two machines read different ones.
    """
    with processes.raise_on_all():
        if seen is not None and known is not None:
            known.end_pass(split, seen)
    fingerprints = processes.gather(None if seen is None else seen.fingerprint)
    with processes.raise_on_all():
        if processes.is_main and len(set(fingerprints) - {None}) > 1:
            raise UserError(f"{split}: the machines read different pairs, but each has to get the whole stream")


def compare_streams(
    streams: Streams,
    known: dict[Split, StreamIdentity],
    processes: Distributed,
    *,
    finished: bool,
    same_job: bool,
    while_reading: Callable[[], None],
) -> None:
    """Compare the streams with what a checkpoint knows of its own, which is updated, before anything is trained.

    `streams` are those that this process reads; rank 0 has read their first pairs already. One whole pass is read where
    they cannot decide, and where nothing is left to train (`finished`). `same_job`: the checkpoint is of this very job,
    whose data are the same. Raises ResumeError for other streams, and where a finished training's cannot be compared.
    """
    for split in SPLITS:
        compare_first = partial(_compare_first, split, streams, known, finished=finished, same_job=same_job)
        undecided = processes.compute_on_main(compare_first)
        with processes.raise_on_all():
            if undecided and split in streams:
                digests = []
                for pair in streams[split].pairs():
                    while_reading()
                    digests.append(pair_digest(pair))
                    known[split].check_pair(split, pair, digests[-1])
                known[split].end_pass(split, PairDigests.of(digests, complete=True))
                logger.info(f"{split}: the stream holds the same {len(digests)} pairs as the checkpoint's")


def _compare_first(
    split: Split, streams: Streams, known: dict[Split, StreamIdentity], *, finished: bool, same_job: bool
) -> bool:
    """Return whether a whole pass has to be read. Raises ResumeError for first pairs that show another stream."""
    first, before = streams[split].begun, known[split]
    if not before.known:
        why = (
            "held other pairs in each pass" if before.varies else "is not described in it: an older Segwright wrote it"
        )
        reason = f"{split}: the stream of the checkpoint {why}, so this one cannot be compared with it"
        if finished and not same_job:
            cure = f"Give more epochs to continue with this stream, or {START_OVER}."
            raise ResumeError(f"Cannot resume: nothing is left to train. {reason}. {cure}")
        logger.warning(f"{reason}; training continues with it")
        if not before.varies:
            known[split] = StreamIdentity.begin(first)
        return False
    strange = [pair for pair in first if pair_digest(pair) not in before.seen]
    if strange and before.seen.complete:
        pairs = f"{len(strange)} of its first {len(first)} pairs are not among the {len(before.seen)} of the checkpoint"
        raise _other_stream(split, f"{pairs} ({strange[0].image.name} with its mask, ...)")
    if finished or strange:
        reason = "is complete" if finished else "was written before a pass had ended"
        logger.info(f"{split}: the checkpoint {reason}; reading the stream once to see whether it is the same data")
    return finished or bool(strange)


def _other_stream(split: Split, why: str) -> ResumeError:
    return ResumeError(f"Cannot resume on another stream. {split}: {why}. Restore the stream, or {START_OVER}.")
