"""Scores of a runtime that knows the colours of the classes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from segwright.errors import DataError
from segwright.evaluation import labelled_pairs, score
from segwright.formats.pixels import RGB
from segwright.labels import LabelMap
from tests.conftest import Draw

KNOWN = (LabelMap.identity(), ("sky", "land", "house"), RGB)
COLOURS = torch.tensor([[40.0, 60, 200], [60, 180, 60], [220, 60, 40]])


class Colours:
    """Class 2 is taken for class 1 where it is `blind`."""

    name, precision, device = "colours", "float32", torch.device("cpu")

    def __init__(self, blind: bool) -> None:
        self.blind = blind

    def coarse_logits(self, pixels: Tensor) -> Tensor:
        far = [(pixels - colour[:, None, None]).square().sum(1) for colour in COLOURS]
        return -torch.stack([far[0], far[1], far[2] + 1e6 * self.blind], 1)


def test_pairs_are_scored_with_and_without_borders(channels_folder: Draw) -> None:
    data = channels_folder()
    pairs, scored = labelled_pairs(str(data / "validation"), str(data / "validation_annotation"), *KNOWN), list[int]()
    exact = score(Colours(blind=False), pairs, *KNOWN, lambda: scored.append(1), boundary=True)
    assert len(scored) == len(pairs) == 3
    assert exact.mean_iou > 0.95 and exact.boundary is not None and exact.boundary.mean_iou is not None
    assert score(Colours(blind=False), pairs, *KNOWN, int) == replace(exact, boundary=None)
    assert score(Colours(blind=True), pairs, *KNOWN, int).mean_iou < 2 / 3


def test_a_list_has_its_masks_with_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images\.manifest has its masks with it: leave masks out"):
        labelled_pairs(str(tmp_path / "images.manifest"), str(tmp_path), *KNOWN)
