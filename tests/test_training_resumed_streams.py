"""A training that is resumed on a stream goes on only where the stream is the one that it had."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import segwright
from segwright.bundle import LAST_WEIGHTS, read_description
from segwright.data import pipe_mode as fifo
from segwright.data.channels import Source
from segwright.data.pipe_server import serve_pipes
from segwright.data.stream_identity import PairDigests
from segwright.distributed import Distributed
from segwright.errors import OutputExistsError, UserError
from segwright.stopping import StopRequest
from segwright.training.checkpoints import Checkpoint, CheckpointFolder
from segwright.training.resumed_streams import StreamIdentity, end_pass
from segwright.training.run import Training
from segwright.training.train_step import TrainState
from tests.conftest import Draw
from tests.helpers.files import write_manifest
from tests.helpers.trainings import killed_at, settings, train_in_two

Lines = list[dict[str, object]]
SAME = "the stream holds the same"
OTHER = r"Cannot resume on another stream\. {}: .*Restore the stream, or start over"


@pytest.fixture(autouse=True)
def few_first_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fifo, "FIRST_PAIRS", 4)


@pytest.fixture
def lines(channels_folder: Draw) -> dict[str, Lines]:
    """The lines of the manifests of ten training pairs and three validation pairs, and of three more of each."""
    data = channels_folder(train=13, validation=6)
    found: dict[str, Lines] = {}
    for split in ("train", "validation"):
        pairs = Source(data / split, data / f"{split}_annotation").pairing().pairs
        found[split] = [{"source-ref": p.image.name, "label-ref": p.mask.name} for p in pairs]
    return found


class Attempts:
    """Trainings on streams, one after the other, with the same output and checkpoints."""

    def __init__(self, root: Path, lines: dict[str, Lines]) -> None:
        self.root, self.lines, self.output = root, lines, root / "model"
        self.number = 0

    def __call__(
        self,
        train: slice | Lines = slice(10),
        validation: slice = slice(3),
        *,
        seed: int | None = None,
        resume: bool = True,
        job: str | None = None,
        output: Path | None = None,
        stop: StopRequest | None = None,
        **values: str,
    ) -> None:
        self.number += 1
        chosen = {
            "train": self.lines["train"][train] if isinstance(train, slice) else train,
            "validation": self.lines["validation"][validation],
        }
        manifests = {split: write_manifest(self.root / f"{split}{self.number}", chosen[split]) for split in chosen}
        with served(manifests, self.root / f"pipes{self.number}", seed) as channels:
            given = {"num_classes": "3", "num_training_samples": "10", "epochs": "2", **values}
            policy = segwright.CheckpointPolicy(self.root / "checkpoints", every=1e-9, resume=resume, job=job)
            stop = stop or StopRequest()
            Training(channels, output or self.output, settings(**given), policy, device="cpu", stop=stop).run()

    @property
    def other(self) -> Lines:
        """A training stream that begins with pairs that the usual one does not hold."""
        return self.lines["train"][:2:-1]

    def checkpoint(self) -> Checkpoint:
        newest = CheckpointFolder(self.root / "checkpoints").newest()
        assert newest is not None
        return newest

    def forget_streams(self) -> None:
        """Make of the newest checkpoint one that an older version would have written."""
        made = self.checkpoint()
        facts = {name: value for name, value in made.facts.items() if name not in ("streams", "job")}
        for report in facts["description"]["data"].values():
            report["fingerprint"] = ""
            del report["first_pairs"]
        tensors = {name: value for name, value in made.tensors.items() if not name.startswith("stream.")}
        CheckpointFolder(self.root / "checkpoints").save(Checkpoint(facts, tensors))


@contextmanager
def served(manifests: dict[str, Path], folder: Path, seed: int | None) -> Iterator[segwright.Channels]:
    folder.mkdir()
    options = {"shuffle_seed": seed}
    threading.Thread(target=serve_pipes, args=(manifests, folder), kwargs=options, daemon=True).start()
    yield segwright.Channels.locate(folder, input_mode="Pipe")


@pytest.fixture
def attempt(tmp_path: Path, lines: dict[str, Lines]) -> Attempts:
    return Attempts(tmp_path, lines)


@contextmanager
def refused(attempt: Attempts, words: str) -> Iterator[None]:
    """What is refused trains nothing and writes nothing."""
    folder = attempt.root / "checkpoints"
    before, bundle = sorted(folder.iterdir()), attempt.output / "bundle.json"
    held = bundle.read_bytes() if bundle.exists() else None
    with pytest.raises(UserError, match=words):
        yield
    assert sorted(folder.iterdir()) == before
    assert (bundle.read_bytes() if bundle.exists() else None) == held


def test_a_finished_training_ends_only_with_its_own_streams(
    attempt: Attempts, caplog: pytest.LogCaptureFixture
) -> None:
    attempt(resume=False)
    lost = attempt.root / "lost"
    (attempt.root / "model").rename(lost)
    with refused(attempt, OTHER.format("train")):
        attempt(attempt.other)
    with refused(
        attempt, r"validation: 3 of its first 3 pairs are not among the 3 of the checkpoint \(.*validation_0 record 0"
    ):
        attempt(validation=slice(3, 6))
    with refused(attempt, r"train: .*record 18 .*with its mask is not among its 10 pairs"):
        attempt([*attempt.lines["train"][:9], attempt.lines["train"][12]])
    with refused(attempt, r"train: it held 10 pairs; of this pass of 9, 1 are missing, 0 are new"):
        attempt(slice(9))
    with refused(attempt, r"train: it held 10 pairs; of this pass of 11, 0 are missing, 1 are new"):
        attempt([*attempt.lines["train"][:10], attempt.lines["train"][0]])
    assert not attempt.output.exists()
    with caplog.at_level(logging.INFO, "segwright"):
        attempt(seed=5)
    for split, count in (("train", 10), ("validation", 3)):
        assert f"{split}: the checkpoint is complete; reading the stream once to see whether" in caplog.text
        assert f"{split}: {SAME} {count} pairs" in caplog.text
    assert "nothing is left to train" in caplog.text
    assert_same_weights(attempt.output, lost)


def assert_same_weights(one: Path, other: Path) -> None:
    weights, others = load_file(one / LAST_WEIGHTS), load_file(other / LAST_WEIGHTS)
    assert all(torch.equal(value, others[name]) for name, value in weights.items())


def test_an_unfinished_training_learns_from_no_other_pair(
    attempt: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """After the first pass: the first pairs tell, or the first strange pair, or the end of the pass."""
    with killed_at(4, monkeypatch):
        attempt(resume=False)
    with refused(attempt, "train: 3 of its first 4 pairs are not among the 10 of the checkpoint"):
        attempt(attempt.other, epochs="3")
    with pytest.raises(UserError, match=r"train: .*record 20 .* is not among its 10 pairs"):
        attempt(slice(13), epochs="3")
    with pytest.raises(UserError, match=r"train: it held 10 pairs; of this pass of 8, 2 are missing"):
        attempt(slice(8), epochs="3")
    assert attempt.checkpoint().facts["streams"]["train"]["complete"]
    with caplog.at_level(logging.INFO, "segwright"):
        attempt(seed=1, epochs="3")
    assert "reading the stream once" not in caplog.text and "continuing after" in caplog.text


def test_a_stream_that_is_resumed_ends_with_the_same_bits(attempt: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Attempts(attempt.root / "undisturbed", attempt.lines)
    whole.root.mkdir()
    whole(resume=False)
    with killed_at(1, monkeypatch):
        attempt(resume=False)
    with killed_at(5, monkeypatch):
        attempt()
    attempt()
    assert_same_weights(attempt.output, whole.output)
    known = [read_description(one.output).data for one in (attempt, whole)]
    for split in ("train", "validation"):
        assert known[0][split]["fingerprint"] == known[1][split]["fingerprint"] != ""
        assert known[0][split]["first_pairs"] == known[1][split]["first_pairs"]
    assert known[0]["train"]["fingerprint"] != known[0]["validation"]["fingerprint"]


def test_a_bundle_of_an_interrupted_first_pass_is_the_trainings_own(
    attempt: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, step = StopRequest(), TrainState.train_step

    def stopping(self: TrainState, *arguments: Any) -> Any:
        stop.made = True
        return step(self, *arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainState, "train_step", stopping)
        attempt(resume=False, stop=stop)
    assert read_description(attempt.output).data["train"]["fingerprint"] == ""
    attempt(seed=2)
    assert read_description(attempt.output).data["train"]["fingerprint"] != ""


def test_before_a_pass_has_ended_another_stream_is_seen_before_the_first_step(
    attempt: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with killed_at(1, monkeypatch):
        attempt(slice(12), resume=False, mini_batch_size="2")
    with refused(attempt, r"train: it had shown \d+ pairs; of this pass of 1, \d+ are missing"):
        attempt(slice(12, 13), mini_batch_size="2")
    caplog.clear()
    with caplog.at_level(logging.INFO, "segwright"), killed_at(2, monkeypatch):
        attempt(slice(12), seed=3, mini_batch_size="2")
    with caplog.at_level(logging.INFO, "segwright"):
        attempt(slice(12), seed=4, mini_batch_size="2")
    assert "continuing after 2 updates" in caplog.text


def test_a_stream_that_begins_the_same_is_seen_at_the_end_of_its_pass(
    attempt: Attempts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segwright.data.pipe_batches.SHUFFLED_PAIRS", 2)
    with killed_at(1, monkeypatch):
        attempt(slice(12), resume=False, mini_batch_size="2")
    shown = len(attempt.checkpoint().tensors["stream.train"])
    assert 4 <= shown < 12
    lines = [*attempt.lines["train"][:4], *attempt.lines["train"][12:]]
    with pytest.raises(UserError, match=rf"train: it had shown \d+ pairs; of this pass of {len(lines)}, \d+ are"):
        attempt(lines, mini_batch_size="2")
    with pytest.raises(UserError, match="train: it had shown"):  # the pairs of both were seen: it is nobody's any more
        attempt(lines, mini_batch_size="2")
    assert not attempt.output.exists()


def test_a_checkpoint_that_knows_no_stream_ends_nothing_silently(
    attempt: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempt(resume=False, job="arn:job/a")
    attempt.forget_streams()
    said = r"nothing is left to train\. train: the stream of the checkpoint is not described in it: an older Segwright"
    with refused(attempt, said + r".*Give more epochs to continue with this stream, or start over"):
        attempt(output=attempt.root / "other")
    assert not (attempt.root / "other").exists()
    with pytest.raises(OutputExistsError, match="exists already"):  # nothing shows that the bundle there is its own
        attempt(epochs="3")
    with caplog.at_level(logging.WARNING, "segwright"):
        attempt(epochs="3", output=attempt.root / "more")
    for split in ("train", "validation"):
        assert f"{split}: the stream of the checkpoint is not described in it" in caplog.text
    assert "training continues with it" in caplog.text
    with refused(attempt, OTHER.format("train")):
        attempt(attempt.other, epochs="3", output=attempt.root / "more")


def test_a_stream_that_varies_is_told_and_ends_only_its_own_job(
    attempt: Attempts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real, passes = fifo.FifoStream.pairs, []

    def varying(self: fifo.FifoStream) -> Any:
        passes.append(self.prefix.name)
        coming = real(self)
        if passes.count(self.prefix.name) > 1 and self.prefix.name == "train":
            next(coming)
        yield from coming

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "segwright"):
        patch.setattr(fifo.FifoStream, "pairs", varying)
        attempt(resume=False, job="arn:job/a", epochs="3")
    assert caplog.text.count("train: this pass held 9 pairs, 0 of which were not in the pass before, and 1 of") == 1
    assert read_description(attempt.output).data["train"]["fingerprint"] == ""
    for job in (None, "arn:job/b"):
        with refused(
            attempt, "train: the stream of the checkpoint held other pairs in each pass, so this one cannot be compared"
        ):
            attempt(job=job, epochs="3")
    attempt(job="arn:job/a", epochs="3")


def test_a_bundle_of_another_stream_is_not_replaced(attempt: Attempts, tmp_path: Path) -> None:
    attempt(resume=False, epochs="1")
    precious = Attempts(tmp_path / "precious", attempt.lines)
    precious.root.mkdir()
    precious(slice(3, 13), resume=False, epochs="1")
    with refused(precious, "model exists already"):
        attempt(output=precious.output)


def test_a_stream_is_no_folder(attempt: Attempts, tmp_path: Path) -> None:
    attempt(resume=False, epochs="1")
    folders = segwright.Channels.locate(tmp_path / "data")
    with refused(attempt, "train data changed: one is a stream, the other is not"):
        segwright.train(
            folders,
            tmp_path / "other",
            settings(),
            checkpoints=segwright.CheckpointPolicy(tmp_path / "checkpoints", resume=True),
            device="cpu",
        )


@pytest.mark.parametrize(("elsewhere", "refuses"), [((1, 2), False), ((1, 3), True)])
def test_machines_that_get_parts_of_a_stream_are_told(elsewhere: tuple[int, int], refuses: bool) -> None:
    class TwoMachines(Distributed):
        def gather(self, value: Any) -> list[Any]:
            return [value, None, PairDigests.of(elsewhere).fingerprint, None]

    seen = PairDigests.of((2, 1), complete=True)
    known = StreamIdentity(seen=PairDigests.of((1,)))
    if refuses:
        with pytest.raises(UserError, match="train: the machines read different pairs, but each has to get the whole"):
            end_pass("train", seen, known, TwoMachines())
    else:
        end_pass("train", seen, known, TwoMachines())
        assert known.seen is seen


def test_two_processes_compare_their_stream_once(attempt: Attempts, tmp_path: Path) -> None:
    manifests = {split: write_manifest(tmp_path / split, attempt.lines[split][:8]) for split in ("train", "validation")}
    other = {**manifests, "train": write_manifest(tmp_path / "other", attempt.lines["train"][8:])}
    with served(manifests, tmp_path / "first", None) as channels:
        given = {"num_classes": "3", "num_training_samples": "8", "epochs": "1", "mini_batch_size": "3"}
        kept = segwright.CheckpointPolicy(tmp_path / "kept")
        given |= {"optimizer": "adamw"}
        segwright.train(channels, tmp_path / "model", settings(**given), device="cpu", checkpoints=kept)

    def resume(manifests: dict[str, Path]) -> tuple[list[int], str]:
        with served(manifests, tmp_path / "pipes", None):
            flags = ("--epochs", "1", "--num-training-samples", "8", "--checkpoints", "kept", "--resume")
            ended = train_in_two(tmp_path, *flags)
        return [status for status, _ in ended], "".join(output for _, output in ended)

    statuses, output = resume(manifests)
    assert statuses == [0, 0] and output.count(SAME) == 2, output
    (tmp_path / "pipes").rename(tmp_path / "second")
    statuses, output = resume(other)
    assert all(statuses)
    assert output.count("on another stream. train: 5 of its first 5 pairs") == 1
    assert "Traceback" not in output and "[rank" not in output
