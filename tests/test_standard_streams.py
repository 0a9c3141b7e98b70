"""Standard streams that are closed, full or narrow: with real descriptors in processes, with stand-ins in this one."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from segwright.cli import main
from segwright.console import PACKAGE_LOGGER, table
from segwright.standard_streams import LOG, OUTPUT, OutputClosedError, output_may_fail
from tests.conftest import TINY_BACKBONE, Draw

COMMAND = "import sys; from segwright.cli import main; sys.exit(main(sys.argv[1:]))"
WORK = """
import sys
from segwright.console import PACKAGE_LOGGER, set_up_logging
from segwright.standard_streams import LOG, finish_streams, prepare_streams
prepare_streams()
set_up_logging()
for step in range(3):
    PACKAGE_LOGGER.warning("step %d", step)
    print("line", step, file=LOG, flush=True)
with open(sys.argv[1], "w") as file:
    print("done", file.fileno() > 2, file=file)
finish_streams()
"""


class Broken(io.TextIOWrapper):
    """A stream that fails as a pipe does that nobody reads, or a terminal that is gone."""

    def __init__(self, number: int = errno.EPIPE, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), "utf-8")
        self._number, self._terminal = number, terminal

    def write(self, text: str) -> int:
        raise OSError(self._number, os.strerror(self._number))

    def fileno(self) -> int:
        raise io.UnsupportedOperation

    def isatty(self) -> bool:
        return self._terminal


def shell(line: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which `$0 -c "$1"` is Python with a script; `rc` in what it prints is a status."""
    return subprocess.run(
        ["bash", "-c", line, sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120
    )


def test_nobody_reads_the_output_any_more() -> None:
    done = shell('"$0" -c "$1" train --help | head -1; echo "rc ${PIPESTATUS[0]}"', COMMAND)
    assert done.stdout == "Usage: segwright train DATA --output BUNDLE [OPTIONS]\nrc 141\n" and done.stderr == ""


def test_a_closed_output_is_no_output() -> None:
    done = shell('"$0" -c "$1" --version >&- <&-; echo "rc $?"; "$0" -c "$1" bogus 2>&-; echo "rc $?"', COMMAND)
    assert (done.stdout, done.stderr) == ("rc 0\nrc 2\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_one_clear_error() -> None:
    done = shell('"$0" -c "$1" --help > /dev/full; echo "rc $?"', COMMAND)
    assert done.stdout == "rc 2\n"
    assert done.stderr == "error: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    "streams", [">&- 2>&-", "<&- >&- 2>&-", "> /dev/full 2> /dev/full", "2>&1 | true", "> >(true)"]
)
def test_work_goes_on_without_its_log(tmp_path: Path, streams: str) -> None:
    line = f'"$0" -c "$1" "$2" {streams}; echo "rc ${{PIPESTATUS[0]}}"'
    done = shell(line, WORK, tmp_path / "file")
    assert done.stdout == "rc 0\n" and "Traceback" not in done.stderr
    assert (tmp_path / "file").read_text() == "done True\n", "or else what libraries print would go into the file"


def test_the_first_lost_line_of_a_log_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken())
    monkeypatch.setattr(LOG, "_reported", False)
    for _ in range(2):
        print("#metrics {}", file=LOG, flush=True)
    assert capsys.readouterr().err == "warning: standard output cannot be written, its lines are lost: Broken pipe\n"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
def test_what_cannot_be_shown_is_a_question_mark(encoding: str) -> None:
    script = (
        "from segwright.standard_streams import prepare_streams as p; from segwright.console import table as t; p()"
    )
    script += "\nt('\u80cc', ('class', 'IoU'), [('0 \u80cc\u666f', '77')])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding}
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.split() == [b"?", b"class", b"IoU", b"0", b"??", b"77"]


def test_an_error_handler_of_ones_own_holds() -> None:
    script = "from segwright.standard_streams import prepare_streams as p; p(); print('\u80cc')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:backslashreplace"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment, check=True)
    assert done.stdout == b"\\u80cc\n"


def test_help_is_readable_in_ascii() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    arguments = [sys.executable, "-c", COMMAND, "predict", "--help"]
    shown = subprocess.run(arguments, capture_output=True, env=environment, check=True).stdout
    assert b"?" not in shown and b"+- Options -" in shown


def test_names_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    table("a\x1b[2J", ("class", "IoU"), [("0 \x1b]0;x\x07", "1")])
    assert main(["predict", str(tmp_path / "no\x1b[31m\nmodel"), "a.jpg", "--output", str(tmp_path / "o")]) == 2
    PACKAGE_LOGGER.warning("the file %s", "\x1b[31m\r\nerror: fake")
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err and "0 \\x1b]0;x\\x07" in shown.out
    assert shown.err.splitlines()[-1] == "warning: the file \\x1b[31m\\r\\nerror: fake"


def test_results_that_cannot_be_written_end_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Broken())
    with pytest.raises(OutputClosedError):
        table("title", ("class", "IoU"), [("a", "1")])
    with pytest.raises(OutputClosedError):
        print("x", file=OUTPUT)
    with output_may_fail():
        print("x", file=OUTPUT)
    monkeypatch.setattr(sys, "stdout", None)
    print("x", file=OUTPUT, flush=True)
    assert not OUTPUT.isatty()


def test_inspect_writes_its_files_before_it_prints(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, html, file = channels_folder(), tmp_path / "page.html", tmp_path / "found.json"
    monkeypatch.setattr(sys, "stdout", Broken())
    assert main(["inspect", str(data), "--html", str(html), "--json", str(file)]) == 141
    assert json.loads(file.read_text())["num_classes"] == 3 and html.read_text().startswith("<!doctype html>")


def test_a_training_goes_on_when_its_terminal_is_gone(
    channels_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model, scores = channels_folder(), tmp_path / "model", tmp_path / "scores.json"
    flags = "--no-use-pretrained-model --epochs 2 --mini-batch-size 4 --crop-size 32 --base-size 48 --device cpu"
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, Broken(errno.EIO, terminal=True))
    assert main(["train", str(data), "--output", str(model), "--backbone", TINY_BACKBONE, *flags.split()]) == 0
    assert len((model / "metrics.jsonl").read_text().splitlines()) == 2
    images, masks = str(data / "validation"), str(data / "validation_annotation")
    arguments = ["evaluate", str(model), "--images", images, "--masks", masks, "--json", str(scores), "--device", "cpu"]
    assert main(arguments) == 141
    assert 0 <= json.loads(scores.read_text())["mean_iou"] <= 1
