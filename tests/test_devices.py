"""Where to compute: GPUs are played by what torch says of them, since tests run where there are none."""

import logging
import re
from pathlib import Path

import pytest
import torch

from segwright import devices
from segwright.devices import choose_device, choose_precision
from segwright.errors import UserError

PAGE = Path(__file__).parents[1] / "docs" / "instances.md"
CU126 = ["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_86", "sm_90"]
CU130 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120", "compute_120"]


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine with one V100 and a build for CUDA 12.6."""
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "set_device", lambda _gpu: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _gpu: "Tesla V100-SXM2-16GB")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _gpu: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: CU126)
    return monkeypatch


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine whose PyTorch finds nothing but a CPU."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(devices, "_DRIVER", tmp_path / "version")
    return monkeypatch


def too_old() -> None:
    raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040). Please update it.")


def runs(gpu: pytest.MonkeyPatch, kernels: list[str], capability: tuple[int, int]) -> bool:
    gpu.setattr(torch.cuda, "get_arch_list", lambda: kernels)
    gpu.setattr(torch.cuda, "get_device_capability", lambda _gpu: capability)
    try:
        return choose_device(None) == torch.device("cuda", 0)
    except UserError:
        return False


# Every GPU of docs/instances.md: K80, V100, T4, A10G, L4, H100, B200; then one that is not out yet.
@pytest.mark.parametrize(
    ("capability", "cu126", "cu130"),
    [
        ((3, 7), False, False),
        ((7, 0), True, False),
        ((7, 5), True, True),
        ((8, 6), True, True),
        ((8, 9), True, True),
        ((9, 0), True, True),
        ((10, 0), False, True),
        ((13, 0), False, True),
    ],
)
def test_a_gpu_is_taken_where_the_build_has_kernels_for_it(
    gpu: pytest.MonkeyPatch, capability: tuple[int, int], cu126: bool, cu130: bool
) -> None:
    assert runs(gpu, CU126, capability) == cu126
    assert runs(gpu, CU130, capability) == cu130


def test_kernels_of_a_later_minor_number_or_of_one_gpu_alone_do_not_run(gpu: pytest.MonkeyPatch) -> None:
    assert not runs(gpu, ["sm_86"], (8, 0))
    assert runs(gpu, ["sm_90a"], (9, 0))
    assert not runs(gpu, ["sm_100a"], (10, 3))
    assert runs(gpu, ["sm_100f"], (10, 3))


def test_a_build_that_does_not_say_what_it_holds_is_believed(gpu: pytest.MonkeyPatch) -> None:
    assert runs(gpu, [], (7, 0))


def test_a_gpu_without_kernels_is_refused_in_one_sentence_that_names_the_cure(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.cuda, "get_arch_list", lambda: CU130)
    with pytest.raises(UserError) as refusal:
        choose_device("cuda")
    message = str(refusal.value)
    assert "Tesla V100-SXM2-16GB" in message
    assert "compute capability 7.0" in message
    assert "kernels for 7.5, 8.0, 8.6, 9.0, 10.0, 12.0 only" in message
    assert "image variant cu126" in message
    assert "\n" not in message
    assert choose_device("cpu") == torch.device("cpu")


def test_the_page_on_instances_quotes_the_messages(
    gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    quoted = re.sub(r"\n> ?", " ", PAGE.read_text())
    gpu.setattr(torch.cuda, "get_arch_list", lambda: CU130)
    gpu.setattr(torch, "__version__", "2.13.0+cu130")
    with pytest.raises(UserError) as refusal:
        choose_device(None)
    assert f" {refusal.value}\n" in quoted

    gpu.setattr(torch.cuda, "is_available", lambda: False)
    gpu.setattr(torch, "__version__", "2.13.0+cu126")
    gpu.setattr(torch.cuda, "init", too_old)
    gpu.setattr(devices, "_DRIVER", tmp_path / "version")
    (tmp_path / "version").write_text("470.256.02\n")
    with caplog.at_level(logging.WARNING, "segwright"):
        choose_device(None)
    assert f" warning: {caplog.messages[0]}\n" in quoted


def test_the_cure_for_a_gpu_that_no_build_runs_is_another_machine(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.cuda, "get_device_capability", lambda _gpu: (3, 7))
    with pytest.raises(UserError, match=r"3\.7, .* no build of today has any for it: take a newer instance"):
        choose_device(None)


def test_a_gpu_newer_than_the_build_wants_the_newer_variant(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.cuda, "get_device_capability", lambda _gpu: (12, 0))
    with pytest.raises(UserError, match=r"compute capability 12\.0, .* image variant cu130"):
        choose_device(None)


def test_a_process_without_a_gpu_of_its_own_is_refused(gpu: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="process 1 of this machine has no GPU of its own: there are 1"):
        choose_device(None, local_rank=1)


def test_a_driver_that_is_too_old_is_warned_of_once(
    no_gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "version").write_text("470.256.02\n")
    no_gpu.setattr(torch.cuda, "init", too_old)
    with caplog.at_level(logging.WARNING, "segwright"):
        assert choose_device(None) == torch.device("cpu")
        assert choose_device(None, local_rank=1) == torch.device("cpu")
    (said,) = caplog.messages
    assert "computed on the CPU" in said
    assert "driver 470.256.02" in said
    assert "too old (found version 11040)" in said
    assert "Please" not in said
    with pytest.raises(UserError, match=r"device cuda is not usable here; .* driver 470\.256\.02"):
        choose_device("cuda")


def test_a_build_for_the_cpu_beside_a_gpu_is_warned_of(
    no_gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "version").write_text("580.95.05\n")

    def init() -> None:
        raise AssertionError("Torch not compiled with CUDA enabled")

    no_gpu.setattr(torch.cuda, "init", init)
    with caplog.at_level(logging.WARNING, "segwright"):
        choose_device(None)
        choose_device("cpu")  # meant
    (said,) = caplog.messages
    assert "Torch not compiled with CUDA enabled" in said


def test_a_machine_without_a_gpu_is_silent(no_gpu: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "segwright"):
        assert choose_device(None) == torch.device("cpu")
    assert not caplog.messages
    with pytest.raises(UserError, match=r"device cuda is not usable here; .* have: cpu$"):
        choose_device("cuda")


def test_auto_precision_follows_what_each_gpu_does_well(gpu: pytest.MonkeyPatch) -> None:
    gpu.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation)
    assert choose_precision("auto", torch.device("cuda", 0)) == torch.float16  # Volta and Turing emulate bfloat16
    gpu.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: True)
    assert choose_precision("auto", torch.device("cuda", 0)) == torch.bfloat16


def test_auto_precision_on_a_cpu_follows_its_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
    assert choose_precision("auto", torch.device("cpu")) == torch.bfloat16
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"architecture": "aarch64"})
    assert choose_precision("auto", torch.device("cpu")) == torch.float32
