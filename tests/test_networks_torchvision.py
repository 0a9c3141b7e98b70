import subprocess
import sys
import textwrap

import pytest

from segwright.networks import torchvision_schemas


def run(program: str) -> str:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_timm_imports_quietly_with_whatever_torchvision_is_here() -> None:
    assert (
        run("""
        from segwright.networks.torchvision_schemas import timm
        print(timm.is_model("resnet50"))
    """)
        == "True"
    )


def test_torchvision_that_cannot_load_its_operators_is_cured() -> None:
    # a torchvision as it is next to a PyTorch that cannot load its operators: the same failure on every machine
    assert (
        run("""
        import sys, tempfile, pathlib
        folder = pathlib.Path(tempfile.mkdtemp())
        (folder / "torchvision").mkdir()
        (folder / "torchvision" / "__init__.py").write_text("from torchvision import operators")
        (folder / "torchvision" / "operators.py").write_text(
            "import torch\\n"
            "for name in ('nms', 'qnms'):\\n"
            "    torch.library.register_fake('torchvision::' + name)(print)\\n"
        )
        (folder / "timm.py").write_text("import torchvision.operators")
        sys.path.insert(0, str(folder))
        from segwright.networks import torchvision_schemas
    """)
        == ""
    )


def test_other_failures_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("another failure")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(RuntimeError, match="another failure"):
        torchvision_schemas.import_torchvision()
