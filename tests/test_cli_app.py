import pytest

from segwright import __version__
from segwright.cli import main
from segwright.hyperparameters import Hyperparameters

COMMANDS = ("train", "evaluate", "predict", "inspect", "sample", "split", "import-data", "import-model", "pipe")


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    output = capsys.readouterr().out
    assert all(f" {command} " in output for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_a_usage_line(capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([command, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: segwright {command} ")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("train", "pixel values that the label map does not name"),
        ("evaluate", "pixel values that the label map does not name"),
        ("predict", "masks of the same STEM are replaced"),
        ("inspect", "segwright-inspect.html in the current directory"),
    ],
)
def test_the_help_says_what_a_flag_touches(capsys: pytest.CaptureFixture[str], command: str, words: str) -> None:
    main([command, "--help"])
    assert words in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_the_help_of_train_gives_meaning_range_and_default(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--help"])
    words = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert (
        "The peak learning rate. (a number above 0 and at most 1; default 0.0004, in recipe sagemaker 0.001)" in words
    )
    assert "(a whole number of at least 1; chosen by data and device, in recipe sagemaker 10)" in words
    assert "Hyperparameters: Early stopping" in words
    for name in Hyperparameters.model_fields:
        assert "--" + name.replace("_", "-") in words
    assert "_" not in "".join(word for word in words.split() if word.startswith("--"))
