import errno
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from segwright.cli import main
from segwright.cli.shared import with_boolean_values
from segwright.errors import DataError, HyperparameterError
from segwright.hyperparameters import Hyperparameters
from segwright.precisions import PRECISIONS
from segwright.standard_streams import OutputClosedError
from segwright.storage import Cache
from segwright.training import CheckpointPolicy

Calls = list[tuple[tuple[Any, ...], dict[str, Any]]]

SAMPLE = "segwright.sample_data.dataset"


class Channels:
    @staticmethod
    def locate(data: str | None, **given: Any) -> tuple[str | None, dict[str, Any]]:
        return data, {name: value for name, value in given.items() if value and value != "File"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """Stand-ins for all rooms that the commands call; what they are called with is recorded."""
    recorded: Calls = []

    def record(*positional: Any, **named: Any) -> Any:
        recorded.append((positional, named))
        return SimpleNamespace(to_json=lambda: {"mean_iou": 0.5})

    rooms: dict[str, dict[str, Any]] = {
        "segwright.training": {"CheckpointPolicy": CheckpointPolicy, "train": record},
        "segwright.evaluation": {"evaluate": record, "print_scores": lambda scores, title: print(title)},
        "segwright.inference": {"predict_files": record},
        "segwright.data.channels": {"Channels": Channels},
        "segwright.checks.report": {"inspect": record},
        "segwright.data.pipe_server": {"serve_pipes": record},
        SAMPLE: {"write_sample": record},
    }
    for name, contents in rooms.items():
        room = ModuleType(name)
        vars(room).update(contents)
        monkeypatch.setitem(sys.modules, name, room)
    return recorded


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def test_train_passes_on_its_arguments(calls: Calls) -> None:
    files = ["--validation", "v", "--label-map", "map.json", "--class-names", "names.txt"]
    flags = ["--learning-rate", "0.01", "--num-classes=4", "--device", "cpu", "--strict"]
    assert main(["train", "data", "--output", "out", *files, *flags]) == 0
    ((channels, output, settings), options) = calls[0]
    assert channels == ("data", {"validation": "v", "label_map": "map.json"})
    assert output == Path("out")
    assert settings == Hyperparameters(learning_rate=0.01, num_classes=4)
    assert options.pop("started") <= time.monotonic()
    assert options == {
        **{"class_names": Path("names.txt"), "device": "cpu", "strict": True},
        **{"start_from": None, "checkpoints": CheckpointPolicy()},
    }


def test_train_passes_on_where_it_starts_and_what_it_keeps(calls: Calls) -> None:
    flags = ["--from", "old", "--checkpoints", "c", "--checkpoint-every", "5", "--resume"]
    assert main(["train", "data", "--output", "out", *flags]) == 0
    options = calls[0][1]
    assert options["start_from"] == Path("old")
    assert options["checkpoints"] == CheckpointPolicy(Path("c"), every=5.0, resume=True)


@pytest.mark.parametrize("seconds", ["0", "-1", "often"])
def test_seconds_between_checkpoints_are_above_0(capsys: pytest.CaptureFixture[str], seconds: str) -> None:
    assert "--checkpoint-every" in complaint(capsys, "train", "data", "--output", "out", "--checkpoint-every", seconds)


@pytest.mark.parametrize("mark", "-_")
def test_train_needs_no_data_folder_when_each_channel_is_named(calls: Calls, mark: str) -> None:
    flags = f"--train a --train{mark}annotation b --validation c --validation{mark}annotation d --label{mark}map e"
    assert main(["train", "--output", "out", *flags.split()]) == 0
    (data, given), _, _ = calls[0][0]
    assert data is None
    assert given == {
        **{"train": "a", "train_annotation": "b", "validation": "c", "validation_annotation": "d", "label_map": "e"}
    }


@pytest.mark.parametrize("name", Hyperparameters.model_fields)
def test_every_hyperparameter_is_a_flag(calls: Calls, name: str) -> None:
    value = {
        "algorithm": "psp",
        "backbone": "resnet-101",
        "use_pretrained_model": "False",
        "backbone_weights": "w.safetensors",
        "output_stride": "8",
        "decoder_output_stride": "2",
        "aux_loss": "no",
        "augmentation_type": "none",
        "base_size": "100",
        "crop_size": "100",
        "precision_dtype": "bfloat16",
        "scale_range": "0.8, 1.25",
        "flips": "both",
        "syncbn": "1",
        "optimizer": "sgd",
        "recipe": "sagemaker",
        "padding": "class-0",
        "last_batch": "rollover",
        "loss": "cross-entropy+dice",
        "class_weights": "auto",
        "update_rule": "gluoncv",
        "lr_scheduler": "cosine",
        "lr_scheduler_step": "3, 4",
        "early_stopping": "yes",
        "apply_exif_orientation": "yes",
        "inference_scale": "1.5",
    }.get(name, "0.25" if isinstance(Hyperparameters.model_fields[name].default, float) else "7")
    for flag in (name, name.replace("_", "-")):
        assert main(["train", "data", "--output", "out", f"--{flag}", value]) == 0
    for (_, _, settings), _ in calls:
        assert settings == Hyperparameters.from_strings({name: value}) != Hyperparameters()
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ("--syncbn data", "--syncbn=True data"),
        ("--syncbn", "--syncbn=True"),
        ("--no-syncbn data", "--syncbn=False data"),
        ("--no_syncbn data", "--syncbn=False data"),
        ("--use_pretrained_model False data", "--use_pretrained_model=False data"),
        ("--use-pretrained-model False data", "--use-pretrained-model=False data"),
        ("--aux-loss=no", "--aux-loss=no"),
        ("--no-strict syncbn --overwrite", "--no-strict syncbn --overwrite"),
        ("-- --syncbn", "-- --syncbn"),
    ],
)
def test_boolean_hyperparameters_may_be_bare(tokens: str, expected: str) -> None:
    assert with_boolean_values(tokens.split()) == expected.split()


def test_bad_hyperparameters_are_described_as_in_a_sagemaker_job(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters.from_strings({"epochs": "0", "algorithm": "deeplap", "learning_rate": "-5"})
    flags = ["--epochs", "0", "--algorithm", "deeplap", "--learning-rate", "-5"]
    assert complaint(capsys, "train", "data", "--output", "out", *flags) == str(caught.value)


def test_evaluate_shows_scores_and_writes_them(
    calls: Calls, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "scores.json"
    assert main(["evaluate", "bundle", "--images", "i", "--masks", "m", "--json", str(file)]) == 0
    assert calls[0][0] == (Path("bundle"), "i", "m")
    expected = {"label_map": None, "attributes": None, "device": None, "precision": "float32", "strict": False}
    assert calls[0][1] == {**expected, "scale": None, "tta": False}
    assert json.loads(file.read_text()) == {"mean_iou": 0.5}
    assert "bundle on i" in capsys.readouterr().out


def test_scores_are_written_before_they_are_shown(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "scores.json"
    monkeypatch.setattr(sys.modules["segwright.evaluation"], "print_scores", raising(OutputClosedError()))
    assert main(["evaluate", "bundle", "--images", "i", "--masks", "m", "--json", str(file)]) == 141
    assert json.loads(file.read_text()) == {"mean_iou": 0.5}


def test_predict_takes_several_inputs(calls: Calls) -> None:
    assert main(["predict", "bundle", "a.jpg", "folder", "--output", "o", "--overlay", "--probabilities"]) == 0
    assert calls[0][0] == (Path("bundle"), ["a.jpg", "folder"], Path("o"))
    given = {"overlay": True, "probabilities": True}
    usual: dict[str, object] = {"device": None, "overwrite": False, "opacity": None, "colours": {}, "unsure": None}
    assert calls[0][1] == {**given, **usual, "precision": "auto", "scale": None, "tta": False}


def test_predict_passes_on_opacity_and_colours(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", "bundle", "a.jpg", "--output", "o", "--overlay"]
    assert main([*command, "--opacity", "0.3", "--colour", "a=b=#ff0000", "--color", "road=none"]) == 0
    assert calls[0][1]["opacity"] == 0.3
    assert calls[0][1]["colours"] == {"a=b": "#ff0000", "road": "none"}
    assert complaint(capsys, *command, "--colour", "red") == "colour is red; it takes CLASS=COLOUR."


@pytest.mark.parametrize("command", ["evaluate bundle --images i --masks m", "predict bundle a.jpg --output o"])
def test_scale_and_test_time_augmentation_are_flags(calls: Calls, command: str) -> None:
    assert main([*command.split(), "--scale", "1.5", "--tta"]) == 0
    assert (calls[0][1]["scale"], calls[0][1]["tta"]) == (1.5, True)


@pytest.mark.parametrize("command", ["evaluate bundle --images i --masks m", "predict bundle a.jpg --output o"])
def test_the_number_format_of_a_trained_model_can_be_chosen(
    calls: Calls, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert main([*command.split(), "--precision", "int8"]) == 0
    assert main([*command.split(), "--precision-dtype", "bfloat16"]) == 0
    assert [named["precision"] for _, named in calls] == ["int8", "bfloat16"]
    capsys.readouterr()
    allowed = ", ".join(f'"{precision}"' for precision in PRECISIONS)
    assert allowed in complaint(capsys, *command.split(), "--precision=int4")


@pytest.mark.parametrize("file", [".", "file/scores.json"])
def test_scores_that_cannot_be_written_are_refused_before_the_evaluation(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], file: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert file in complaint(capsys, "evaluate", "bundle", "--images", "i", "--masks", "m", "--json", file)
    assert calls == []


def test_inspect_checks_hyperparameters_like_a_training(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--num-classes", "3", "--base-size", "300", "--crop-size", "160"]
    assert main(["inspect", "data", "--html", "p.html", "--json", "p.json", *sizes, "--apply-exif-orientation"]) == 0
    (channels, settings), options = calls[0]
    assert channels == ("data", {})
    assert settings == Hyperparameters(num_classes=3, base_size=300, crop_size=160, apply_exif_orientation=True)
    assert (options["html"], options["json"]) == (Path("p.html"), Path("p.json"))
    assert main(["inspect", "data"]) == 0
    assert calls[1][0][1] == Hyperparameters() and calls[1][1]["html"] is None
    assert "from 2 to 254" in complaint(capsys, "inspect", "data", "--num-classes", "1")


def test_train_passes_on_how_data_come(calls: Calls, tmp_path: Path) -> None:
    flags = ["--attributes", "source-ref, road-ref", "--input-mode", "Pipe"]
    cache = ["--cache", str(tmp_path / "c"), "--cache-size", "2"]
    assert main(["train", "s3://bucket/data", "--output", "out", *flags, *cache]) == 0
    (data, given), _, _ = calls[0][0]
    assert data == "s3://bucket/data" and given["input_mode"] == "Pipe"
    assert given["attributes"] == ("source-ref", "road-ref")
    assert given["cache"] == Cache(tmp_path / "c", 2 * 10**9) and (tmp_path / "c").is_dir()


def test_pipe_serves_one_manifest_as_both_channels(calls: Calls) -> None:
    assert main(["pipe", "a.manifest", "pipes", "--shuffle-seed", "3"]) == 0
    ((positional, named),) = calls
    assert positional == ({"train": Path("a.manifest"), "validation": Path("a.manifest")}, Path("pipes"))
    assert (named["shuffle_seed"], named["attributes"]) == (3, None)


def test_sample_reads_the_size(calls: Calls) -> None:
    assert main(["sample", "folder", "--images", "9", "--size", "64X48", "--seed", "5", "--overwrite"]) == 0
    ((positional, named),) = calls
    assert positional == (Path("folder"),)
    expected = {"images": 9, "width": 64, "height": 48, "seed": 5, "overwrite": True}
    assert named.items() >= expected.items()


@pytest.mark.parametrize("size", ["64", "64x", "0x48", "-64x48", "64x48x3", "6.4x48"])
def test_a_bad_size_is_refused(capsys: pytest.CaptureFixture[str], size: str) -> None:
    assert f"--size is {size}; it takes WIDTHxHEIGHT" in complaint(capsys, "sample", "folder", f"--size={size}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("trian", 'Did you mean "train"?'),
        ("train data --output out --learnin-rate 1", "Did you mean --learning-rate?"),
        ("train data --output out --lr 0.1", "--lr is unknown; use --learning-rate (the peak learning rate)."),
        ("train data --output out --batch-size=4", "--batch-size is unknown; use --mini-batch-size (images per"),
        ("train data --output out --amp", "--amp is unknown; use --precision-dtype (the number format"),
        ("train data --output out --gpus 0", "--gpus is unknown; use --device."),
        ("inspect data --imgsz 300", "; use --base-size (longer edge of an image"),
        ("inspect data --lr 300", "Unknown option: --lr."),
        ("train data --output out --overwrit", "Did you mean --overwrite?"),
        ("train data", "--output is missing"),
        ("train data --output", "--output is missing or has no value"),
        ("train data more --output out", "Unexpected argument: more"),
        ("train data --output out --epochs 1 --epochs 2", "--epochs specified multiple times"),
        ("train data --output out --device gpu", '"cpu", "cuda", "mps"'),
        ("predict bundle --output out", "IMAGE_OR_DIR is missing"),
        ("evaluate bundle", "--images is missing"),
        ("pipe a.manifest", "DIR is missing"),
        ("train data --output out --input-mode pip", '"File", "Pipe"'),
        ("sample", "DIR is missing"),
        ("sample folder --images many", "--images"),
        ("--bogus", "--bogus"),
    ],
)
def test_usage_errors_are_one_clear_line(
    calls: Calls, capsys: pytest.CaptureFixture[str], arguments: str, words: str
) -> None:
    line = complaint(capsys, *arguments.split())
    assert words in line
    assert "--help` shows how it is used." in line
    assert calls == []


def raising(error: BaseException) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_errors_of_the_user_are_one_line_without_a_traceback(
    calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[SAMPLE], "write_sample", raising(DataError("no room\nfor pictures.")))
    assert complaint(capsys, "sample", "folder") == "no room for pictures."


def test_ctrl_c_is_130(calls: Calls, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.modules[SAMPLE], "write_sample", raising(KeyboardInterrupt()))
    assert main(["sample", "folder"]) == 130
    assert "Traceback" not in capsys.readouterr().err


def test_bugs_keep_their_traceback(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[SAMPLE], "write_sample", raising(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        main(["sample", "folder"])


def test_what_the_system_refuses_is_one_line(
    calls: Calls, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "missing"

    def read(*_: Any, **__: Any) -> None:
        file.read_bytes()

    monkeypatch.setattr(sys.modules[SAMPLE], "write_sample", read)
    assert complaint(capsys, "sample", "folder") == f"{file}: No such file or directory"
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(sys.modules[SAMPLE], "write_sample", raising(full))
    assert complaint(capsys, "sample", "folder").startswith("No space left on device: make room")
    monkeypatch.setattr(sys.modules[SAMPLE], "write_sample", raising(OSError("no file is named")))
    with pytest.raises(OSError, match="no file is named"):
        main(["sample", "folder"])


def test_freed_memory_is_kept_before_the_command_runs(calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr("segwright.cli.app.keep_freed_memory", lambda: order.append("memory"))
    monkeypatch.setattr(sys.modules[SAMPLE], "write_sample", lambda *_, **__: order.append("command"))
    assert main(["sample", "folder"]) == 0
    assert order == ["memory", "command"]


@pytest.mark.parametrize("command", ["predict bundle a.jpg --output o", "evaluate bundle --images a --masks b"])
def test_memory_stays_flat_over_many_sizes(calls: Calls, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    before: list[int] = []
    monkeypatch.setattr("segwright.cli.model_commands.bound_memory_of_sizes", lambda: before.append(len(calls)))
    assert main(command.split()) == 0
    assert before == [0] and len(calls) == 1


def test_help_and_usage_errors_do_not_import_torch() -> None:
    code = (
        "import sys; from segwright.cli import main\n"
        "assert main(['--help']) == main(['train', '--help']) == 0\n"
        "assert main(['train', 'data', '--output', 'out', '--epochs', '0']) == 2\n"
        "heavy = {'torch', 'timm', 'cv2', 'numpy'} & sys.modules.keys()\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_program_exits_with_the_status() -> None:
    result = subprocess.run([sys.executable, "-m", "segwright", "trian"], capture_output=True, text=True)
    assert result.returncode == 2
    assert result.stderr.startswith("error: Unknown command")
    assert len(result.stderr.splitlines()) == 1
