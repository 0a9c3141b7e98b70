import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from segwright.networks import timm_import


def run(program: str) -> str:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_timm_imports_quietly_with_whatever_torchvision_is_here() -> None:
    program = "from segwright.networks.timm_import import timm; print(timm.is_model('resnet50'))"
    assert run(program) == "True"


# torchvision as it is next to a PyTorch that cannot load its operators: the same failure on every machine
STAND_IN = {
    "torchvision/__init__.py": "import torchvision.extension; import torchvision.registrations",
    "torchvision/extension.py": "loaded = False",
    "torchvision/registrations.py": """
        import torch
        torch.library.register_fake("torchvision::nms")(print)
        torch.library.register_fake("torchvision::qnms")(print)
    """,
    "timm.py": "import torchvision; assert not torchvision.extension.loaded",
}


def test_torchvision_that_cannot_load_its_operators_is_cured(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    for name, text in STAND_IN.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    printed = run(f"""
        import runpy, sys
        sys.path.insert(0, {str(tmp_path)!r})
        # alone: the package around it needs the real timm
        print(runpy.run_path({timm_import.__file__!r})["timm"].__file__)
    """)
    assert printed == str(tmp_path / "timm.py")


def test_other_failures_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise RuntimeError("another failure")

    monkeypatch.setattr("importlib.import_module", fail)
    with pytest.raises(RuntimeError, match="another failure"):
        timm_import.import_torchvision()


def test_the_compiler_is_imported_when_it_is_called() -> None:
    printed = run("""
        import sys
        from segwright.networks.timm_import import timm
        import torch
        before = "torch._dynamo" in sys.modules
        supported = sys.modules["torchvision.ops.roi_align"].is_compile_supported("cpu")
        print(before, supported, "torch._dynamo" in sys.modules, torch.compiler.disable(abs)(-3))
    """)
    assert printed == "False True True 3"


def test_what_may_not_be_compiled_may_be_called() -> None:
    def plus_one(number: int) -> int:
        return number + 1

    with timm_import.compiler_when_called():
        pass  # it changes nothing for good
    for decorated in (
        timm_import._disabled_when_called(torch.compiler.disable, plus_one),
        timm_import._disabled_when_called(torch.compiler.disable, recursive=False)(plus_one),
    ):
        assert decorated(1) == 2 and decorated.__name__ == "plus_one"
