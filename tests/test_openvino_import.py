import os
import subprocess
import sys
from pathlib import Path

import pytest

from segwright.errors import UserError
from segwright.openvino_import import import_openvino


def test_openvino_does_not_report_to_its_maker(tmp_path: Path) -> None:
    program = "from segwright.openvino_import import import_openvino; print(import_openvino().__name__)"
    environment = {**os.environ, "HOME": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert (done.stdout, done.stderr) == ("openvino\n", "")
    assert list(tmp_path.iterdir()) == []  # it keeps the identifier that it reports with in the home folder


def test_a_missing_openvino_is_an_error_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match=r"pip install 'segwright\[export\]'"):
        import_openvino()
