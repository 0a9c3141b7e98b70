import weakref
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segwright.inference.logits import Block, assemble, fade, logit_blocks, resized_pixels, resized_rows, windows
from segwright.inference.runtimes import PyTorchRuntime
from segwright.labels import IGNORE
from segwright.networks import NetworkSpec, build_network, resize
from tests.conftest import TINY_BACKBONE


@pytest.fixture(scope="module")
def network() -> PyTorchRuntime:
    torch.manual_seed(0)
    network = build_network(NetworkSpec(algorithm="fcn", backbone=TINY_BACKBONE, num_classes=4))
    return PyTorchRuntime(network.eval())


def picture(height: int, width: int) -> np.typing.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def forward(network: PyTorchRuntime, image: np.typing.NDArray[np.uint8]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = network.network(torch.from_numpy(image).permute(2, 0, 1)[None])[0]
    return logits


@given(st.integers(1, 3000), st.integers(3, 900), st.data())
def test_the_weights_of_windows_sum_to_one_and_fade_to_their_borders(
    length: int, longest: int, data: st.DataObject
) -> None:
    overlap = data.draw(st.integers(0, longest // 3))
    spans = windows(length, longest, overlap)
    completed, weights = list[int](), torch.zeros(len(spans), length)
    for index, span in enumerate(spans):
        assert 0 < span.stop - span.start <= longest
        assert (index == 0 or span.before >= overlap) and (index == len(spans) - 1 or span.after >= overlap)
        for start, stop, count in span.stretches():
            completed += range(start, stop)
            if count == 1:
                weights[index, start:stop] = 1
            else:
                weights[index, start:stop] = fade(stop - start)
                weights[index - 1, start:stop] = 1 - fade(stop - start)
        assert (weights[index, : span.start] == 0).all()
    assert completed == list(range(length)), "every pixel once, in order"
    assert torch.allclose(weights.sum(0), torch.ones(length))
    if overlap > 8 and len(spans) > 1:
        assert weights[1, spans[1].start] < 0.05 and weights[0, spans[0].stop - 1] < 0.05
        assert weights.diff().abs().max() < 2 / overlap, "no cut"


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 40), st.integers(1, 40), st.data())
def test_bands_equal_the_whole_resize(h: int, w: int, height: int, width: int, data: st.DataObject) -> None:
    coarse = torch.randn(1, 2, h, w, generator=torch.Generator().manual_seed(0))
    top = data.draw(st.integers(0, height - 1))
    bottom = data.draw(st.integers(top + 1, height))
    band = resized_rows(coarse, height, width, top, bottom)
    assert torch.allclose(band, resize(coarse, (height, width))[:, :, top:bottom], atol=1e-5)
    missing = top * (h - 1) // max(height - 1, 1)
    assert torch.equal(resized_rows(coarse[:, :, missing:], height, width, top, bottom, missing), band)


@pytest.mark.parametrize("size", [(64, 80), (65, 81), (1, 1), (7, 130)])
def test_blocks_together_are_the_forward_pass(network: PyTorchRuntime, size: tuple[int, int]) -> None:
    image = picture(*size)
    expected = forward(network, image)
    whole = torch.empty_like(expected)
    for block in logit_blocks(network, image):
        whole[:, block.rows, block.columns] = block.logits
    assert torch.allclose(whole, expected, atol=1e-4)


def test_bands_are_used_when_logits_are_large(network: PyTorchRuntime, monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(50, 40)
    monkeypatch.setattr("segwright.inference.logits._BAND_VALUES", 4 * 40 * 7)
    blocks = list(logit_blocks(network, image))
    assert len(blocks) == 8
    together = torch.cat([block.logits for block in blocks], dim=1)
    assert torch.allclose(together, forward(network, image), atol=1e-4)


def test_above_the_budget_every_pixel_gets_a_class_from_a_bounded_window(
    network: PyTorchRuntime, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    coarse = network.coarse_logits

    def spy(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels.shape[2] * pixels.shape[3])
        return coarse(pixels)

    monkeypatch.setattr(network, "coarse_logits", spy)
    budget = 512 * 512
    probabilities = np.empty((4, 700, 1100), np.float32)
    assemble(logit_blocks(network, picture(700, 1100), pixel_budget=budget), probabilities=probabilities)
    assert len(seen) > 1 and max(seen) <= budget
    assert np.isfinite(probabilities).all()
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)


class Echo(torch.nn.Module):
    """Stands for a network whose logits are the pixels, so that every value says where it belongs."""

    device = torch.device("cpu")

    def coarse_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        return pixels.float()


def test_every_window_and_band_lands_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segwright.inference.logits._BAND_VALUES", 3 * 512 * 100)
    image = picture(700, 1100)
    found = np.zeros((3, 700, 1100), np.float32)
    times = np.zeros((700, 1100), int)
    for block in logit_blocks(cast(PyTorchRuntime, Echo()), image, pixel_budget=512 * 512):
        found[:, block.rows, block.columns] = block.logits.numpy()
        times[block.rows, block.columns] += 1
    assert (times == 1).all()
    assert np.allclose(found, image.transpose(2, 0, 1), atol=1e-2)


class Numbered(torch.nn.Module):
    """Stands for a network whose windows disagree: the logits of a window are its number. Keeps what is alive."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.count, self.most, self.alive = 0, 0, weakref.WeakSet[torch.Tensor]()

    def coarse_logits(self, pixels: torch.Tensor) -> torch.Tensor:
        self.count += 1
        logits = torch.full((1, 1, pixels.shape[2] // 4, pixels.shape[3] // 4), float(self.count))
        self.alive.add(logits)
        self.most = max(self.most, len(self.alive))
        return logits


def test_windows_that_disagree_are_blended_and_let_go() -> None:
    network = Numbered()
    found = np.full((700, 1100), np.nan, np.float32)
    for block in logit_blocks(cast(PyTorchRuntime, network), picture(700, 1100), pixel_budget=300 * 300):
        found[block.rows, block.columns] = block.logits[0].numpy()
    assert network.count == 3 * 5 and network.most <= 3, "all else is as low as what windows below share"
    assert (found.min(), found.max()) == (1, 15)
    largest_step = np.pi / 2 / 100  # of a fade over 100 pixels; windows differ by 1 to the right and 5 downwards
    assert np.abs(np.diff(found, axis=1)).max() < 1.01 * largest_step
    assert np.abs(np.diff(found, axis=0)).max() < 5.01 * largest_step


@pytest.mark.parametrize("tta", [False, True])
def test_below_the_budget_the_logits_are_resized_and_nothing_else(network: PyTorchRuntime, tta: bool) -> None:
    image = picture(50, 70)
    (block,) = logit_blocks(network, image, tta=tta)
    with torch.inference_mode():
        pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
        expected = resized_rows(network.coarse_logits(pixels), 50, 70, 0, 50)
        if tta:
            mirrored = resized_rows(network.coarse_logits(pixels.flip(3)).flip(3), 50, 70, 0, 50)
            both = torch.cat([expected, mirrored]).log_softmax(1)
            expected = both.logsumexp(0, True) - np.log(2)
    assert (block.rows, block.columns) == (slice(0, 50), slice(0, 70))
    assert torch.equal(block.logits, expected[0])


def test_mask_is_the_argmax_of_probabilities(network: PyTorchRuntime) -> None:
    image = picture(33, 47)
    mask, probabilities = np.empty((33, 47), np.uint8), np.empty((4, 33, 47), np.float32)
    assemble(logit_blocks(network, image), mask, probabilities)
    assert (mask == probabilities.argmax(0)).all()


def test_confidence_is_the_highest_probability_in_steps_of_255(network: PyTorchRuntime) -> None:
    image = picture(33, 47)
    confidence, probabilities = np.empty((33, 47), np.uint8), np.empty((4, 33, 47), np.float32)
    assemble(logit_blocks(network, image), probabilities=probabilities, confidence=confidence)
    assert np.abs(confidence - 255 * probabilities.max(0)).max() < 0.501
    logits = torch.tensor([[[1e4, -1e4, 0.0]], [[-1e4, -1e4, 0.0]]])
    sure = np.empty((1, 3), np.uint8)
    assemble([Block(slice(1), slice(3), logits)], confidence=sure)
    assert sure.tolist() == [[255, 128, 128]]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rounding_never_moves_the_winner(dtype: str) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 3, (5, 64, 64), generator=generator) + 1e-4 * torch.rand(5, 64, 64, generator=generator)
    plain = logits.softmax(0).to(torch.float16 if dtype == "float16" else torch.float32)
    if dtype == "float16":
        assert (plain.argmax(0) != logits.argmax(0)).any(), "or else this shows nothing"
    probabilities = np.empty(logits.shape, dtype)
    assemble([Block(slice(64), slice(64), logits)], probabilities=probabilities)
    assert (probabilities.argmax(0) == logits.argmax(0).numpy()).all()
    assert np.abs(probabilities.astype(np.float64).sum(0) - 1).max() < (3e-3 if dtype == "float16" else 1e-6)


def test_a_temperature_scales_probabilities_and_never_moves_the_winner() -> None:
    logits = torch.randn(5, 64, 64, generator=torch.Generator().manual_seed(0))
    logits[1] = logits[0].nextafter(torch.tensor(9.0))  # which division makes equal
    blocks = [Block(slice(64), slice(64), logits)]
    mask, probabilities = np.empty((64, 64), np.uint8), np.empty((5, 64, 64), np.float32)
    assemble(blocks, mask, probabilities, temperature=3.0)
    assert (mask == logits.argmax(0).numpy()).all() and (probabilities.argmax(0) == mask).all()
    assert np.allclose(probabilities, (logits / 3).softmax(0).numpy(), atol=1e-6)


def test_pixels_below_a_probability_become_255() -> None:
    logits = torch.randn(5, 64, 64, generator=torch.Generator().manual_seed(0))
    mask, probabilities = np.empty((64, 64), np.uint8), np.empty((5, 64, 64), np.float32)
    assemble([Block(slice(64), slice(64), logits)], mask, probabilities, temperature=0.5, unsure=0.7)
    sure = probabilities.max(0) >= 0.7
    assert 0.1 < sure.mean() < 0.9
    assert (mask == np.where(sure, logits.argmax(0).numpy(), IGNORE)).all()


def spied(network: PyTorchRuntime, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """All pixels that the network sees from here on."""
    seen: list[torch.Tensor] = []
    coarse = network.coarse_logits

    def spy(pixels: torch.Tensor) -> torch.Tensor:
        seen.append(pixels)
        return coarse(pixels)

    monkeypatch.setattr(network, "coarse_logits", spy)
    return seen


@pytest.mark.parametrize(
    ("scale", "size"), [(0.25, (8, 12)), (0.75, (25, 35)), (1, (33, 47)), (1.5, (50, 70)), (2, (66, 94))]
)
def test_the_network_sees_another_size_and_logits_have_the_images_own(
    network: PyTorchRuntime, monkeypatch: pytest.MonkeyPatch, scale: float, size: tuple[int, int]
) -> None:
    seen, image = spied(network, monkeypatch), picture(33, 47)
    mask, probabilities = np.full((33, 47), 9, np.uint8), np.zeros((4, 33, 47), np.float32)
    assemble(logit_blocks(network, image, scale=scale), mask, probabilities)
    assert [pixels.shape[2:] for pixels in seen] == [size]
    if scale == 1:
        assert torch.equal(seen[0][0], torch.from_numpy(image).permute(2, 0, 1)), "the pixels as they are"
    assert mask.max() < 4 and np.allclose(probabilities.sum(0), 1, atol=1e-5)


@pytest.mark.parametrize("size", [(1, 1), (1, 700), (3, 2)])
def test_no_image_becomes_empty(network: PyTorchRuntime, size: tuple[int, int]) -> None:
    mask = np.empty(size, np.uint8)
    assemble(logit_blocks(network, picture(*size), scale=0.25), mask)


@pytest.mark.parametrize("scale", [0.5, 0.75, 1.5, 2])
def test_windows_at_any_scale_agree_with_the_whole_image_and_stay_small(
    monkeypatch: pytest.MonkeyPatch, scale: float
) -> None:
    monkeypatch.setattr("segwright.inference.logits._OVERLAP", 16)
    rows, columns = np.mgrid[:300, :200].astype(np.float32)
    image = np.stack([rows, columns, np.sin(rows / 40)], 2)
    echo, budget = cast(PyTorchRuntime, Echo()), 64 * 64
    seen = spied(echo, monkeypatch)
    found = np.full((3, 300, 200), np.nan, np.float32)
    for block in logit_blocks(echo, image, scale=scale, pixel_budget=budget):
        found[:, block.rows, block.columns] = block.logits.numpy()
    assert len(seen) > 1 and max(pixels[0, 0].numel() for pixels in seen) <= budget
    # Half a pixel of the smaller grid: images are resized with pixel centres at half-integers, logits by their corners.
    assert np.abs(found - image.transpose(2, 0, 1)).max() <= 0.5 / min(scale, 1) + 0.1


def test_resized_pixels_are_means_that_keep_their_type() -> None:
    stripes = np.tile(np.array([250.0, 0.0, 0.0, 0.0]), (20, 5))
    for dtype, factor in ((np.uint8, 1), (np.uint16, 260), (np.float32, 0.1)):
        pixels = torch.from_numpy((stripes * factor).astype(dtype))[None, None].expand(1, 5, -1, -1)
        smaller, larger = resized_pixels(pixels, 10, 5), resized_pixels(pixels, 30, 31)
        assert (smaller.shape, larger.shape) == ((1, 5, 10, 5), (1, 5, 30, 31))
        assert smaller.dtype == larger.dtype == pixels.dtype
        assert (smaller.float() - 62.5 * factor).abs().max() < 20 * factor, "stripes too fine do not alias"
        assert larger.float().min() == 0 and larger.float().max() == pixels.float().max()
        assert resized_pixels(pixels, 20, 20) is pixels


def test_no_data_spreads_no_further_than_it_must() -> None:
    pixels = torch.full((1, 1, 8, 8), 7.0)
    pixels[..., :4] = torch.nan
    pixels[0, 0, 0, 7] = torch.inf
    for size in (4, 12, 16):
        resized = resized_pixels(pixels, size, size)
        assert torch.isnan(resized[..., : size // 2 - 1]).all()
        assert not torch.isinf(resized).any()
        assert torch.allclose(resized[..., size // 2 + 1 : -3], torch.tensor(7.0))


@pytest.mark.parametrize("scale", [1, 1.5])
def test_test_time_augmentation_is_the_mean_of_both_probabilities(network: PyTorchRuntime, scale: float) -> None:
    image = picture(40, 57)
    plain, mirrored, mean = (np.empty((4, 40, 57), np.float32) for _ in range(3))
    assemble(logit_blocks(network, image, scale=scale), probabilities=plain)
    assemble(logit_blocks(network, image[:, ::-1], scale=scale), probabilities=mirrored)
    assemble(logit_blocks(network, image, scale=scale, tta=True), probabilities=mean)
    assert np.abs(plain - mirrored[..., ::-1]).max() > 0.001, "or else this shows nothing"
    assert np.allclose(mean, (plain + mirrored[..., ::-1]) / 2, atol=1e-4)
