"""Whether a resumed training gets the streams that it had.

A stream has no files that could be read beforehand, so what it holds is known bit by bit: first pairs before the first
step, all pairs after a pass. What cannot be shown to be the same never ends a training with a model learnt from
something else. Refuses to know FIFOs and how digests are made.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from segwright.checks.prepare import Streams
from segwright.data.channels import SPLITS, Split
from segwright.data.pairs import Pair
from segwright.data.stream_identity import PairDigests, pair_digest
from segwright.errors import UserError
from segwright.training.checkpoints import START_ANEW
from segwright.training.distributed import Distributed

logger = logging.getLogger(__name__)


@dataclass
class StreamIdentity:
    """What is known of the data of one stream."""

    first_pairs: str = ""
    """A fingerprint of the first pairs that the training saw when it began; empty: not known."""
    seen: PairDigests = field(default_factory=PairDigests)
    """The pairs of a pass, or of the part of the first pass that was read so far."""
    varies: bool = False
    """Whether passes held different pairs, so that nothing tells this stream from another."""
    unconfirmed: bool = False
    """Whether this comes from a checkpoint, and no whole pass was compared with it since."""

    @classmethod
    def begin(cls, first: Sequence[Pair]) -> "StreamIdentity":
        """What the first pairs tell; a process that has not read them knows nothing."""
        seen = PairDigests.of(map(pair_digest, first))
        return cls(seen.fingerprint if first else "", seen)

    @classmethod
    def restored(cls, facts: Mapping[str, Any], digests: Tensor) -> "StreamIdentity":
        """What `facts` and `to_tensor` have given to a checkpoint."""
        seen = PairDigests(digests.numpy().view(np.uint64), facts["complete"])
        return cls(facts["first_pairs"], seen, facts["varies"], unconfirmed=True)

    def facts(self) -> dict[str, Any]:
        """All but the digests, for a checkpoint's JSON."""
        return {"first_pairs": self.first_pairs, "complete": self.seen.complete, "varies": self.varies}

    def to_tensor(self) -> Tensor:
        """The digests as int64 [N], with the same 64 bits."""
        return torch.from_numpy(self.seen.values.view(np.int64).copy())

    @property
    def known(self) -> bool:
        """Whether the stream can be told from another."""
        return len(self.seen) > 0 and not self.varies

    def to_json(self) -> dict[str, Any]:
        """What a bundle says of the stream."""
        fingerprint = self.seen.fingerprint if self.known and self.seen.complete else ""
        return {"fingerprint": fingerprint, "first_pairs": self.first_pairs}

    def note(self, seen: PairDigests) -> None:
        """Keep what was read of a pass that has not ended."""
        if not self.seen.complete and not self.varies:
            self.seen = self.seen.union(seen)

    def end_pass(self, split: Split, seen: PairDigests) -> None:
        """Compare a whole pass with what is known. Raises UserError where a checkpoint tells of other data."""
        if self.varies:
            return
        new, gone = seen.count_beyond(self.seen), self.seen.count_beyond(seen)
        differs = gone > 0 or (new > 0 and self.seen.complete)
        if differs and self.unconfirmed:
            held = f"held {len(self.seen)} pairs" if self.seen.complete else f"had shown {len(self.seen)} pairs"
            raise other_stream(
                split, f"it {held}; in this pass of {len(seen)}, {gone} of them are missing, {new} are new"
            )
        if differs:
            logger.warning(
                f"{split}: this pass held {len(seen)} pairs, {new} of which were not in the pass before, and {gone} of "
                "those are missing: a resumed training cannot check that it gets the same stream."
            )
            self.varies = True
            return
        self.seen, self.unconfirmed = seen, False

    def check_pair(self, split: Split, pair: Pair, digest: int) -> None:
        """Raise UserError for a pair that the stream of the checkpoint did not hold."""
        if self.unconfirmed and self.known and self.seen.complete and digest not in self.seen:
            raise other_stream(
                split, f"{pair.image.name} with its mask is not among the {len(self.seen)} pairs it held"
            )


def other_stream(split: Split, why: str) -> UserError:
    """The refusal of a stream that is not the checkpoint's."""
    return UserError(
        f"--resume: the checkpoint is of a training on another stream. {split}: {why}. Give it back what it had; or "
        f"{START_ANEW}"
    )


def compare_streams(
    streams: Streams,
    known: dict[Split, StreamIdentity],
    processes: Distributed,
    *,
    finished: bool,
    same_job: bool,
    while_reading: Callable[[], None],
) -> None:
    """Compare the streams with what a checkpoint says of its own, before anything is trained or written.

    `streams` are those that this process reads, whose first pairs the first process has read already; `known` is
    updated. One whole pass is read where the first pairs cannot decide, and where nothing is left to train
    (`finished`). `same_job` says that the checkpoint is of this very job, whose data are the same. `while_reading` is
    called again and again. Raises UserError for streams that are others, and for a finished training's that cannot be
    shown to be the same.
    """
    for split in SPLITS:

        def first_pairs_leave_it_open(split: Split = split) -> bool:
            first = streams[split].begun
            if known[split].known:
                return _leave_it_open(split, known[split], first, finished)
            _tell_unknown(split, known[split], finished and not same_job)
            if not known[split].varies:
                known[split] = StreamIdentity.begin(first)
            return False

        if processes.first_computes(first_pairs_leave_it_open):
            failure = None
            try:
                if split in streams:
                    _read_through(split, streams, known[split], while_reading)
            except UserError as error:
                failure = error
            processes.fail_together(failure)


def _leave_it_open(split: Split, known: StreamIdentity, first: Sequence[Pair], finished: bool) -> bool:
    """Whether a whole pass has to be read. Raises UserError for first pairs that show another stream."""
    strangers = [pair for pair in first if pair_digest(pair) not in known.seen]
    if strangers and known.seen.complete:
        raise other_stream(
            split,
            f"{len(strangers)} of its first {len(first)} pairs are not among the {len(known.seen)} it held "
            f"({strangers[0].image.name} with its mask, ...)",
        )
    if finished:
        logger.info(f"{split}: the checkpoint is complete; reading the stream once to see whether it is the same data")
    elif strangers:
        logger.info(
            f"{split}: the checkpoint was written before a pass had ended; reading the stream once to see whether it "
            "is the same data"
        )
    return finished or bool(strangers)


def _tell_unknown(split: Split, known: StreamIdentity, refused: bool) -> None:
    """Say that a stream cannot be compared; raise it where the training would end at once with its old model."""
    why = "held other pairs in each pass" if known.varies else "is not described in it: an older Segwright wrote it"
    sentence = f"the stream of the checkpoint {why}, so this one cannot be compared with it"
    if refused:
        raise UserError(
            f"--resume: nothing is left to train. {split}: {sentence}. Give more epochs to go on with this stream; or "
            f"{START_ANEW}"
        )
    logger.warning(f"{split}: {sentence}; the training goes on with it")


def _read_through(split: Split, streams: Streams, known: StreamIdentity, while_reading: Callable[[], None]) -> None:
    """Read one pass and compare it with what is known."""
    digests = []
    for pair in streams[split].pairs():
        while_reading()
        digest = pair_digest(pair)
        known.check_pair(split, pair, digest)
        digests.append(digest)
    known.end_pass(split, PairDigests.of(digests, complete=True))
    logger.info(f"{split}: the stream holds the same {len(digests)} pairs as the checkpoint's")
