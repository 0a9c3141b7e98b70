"""What the trainings of peers with loops of their own share: a time budget, batches without end, the best checkpoint.

A peer's script gives a `Recipe` and calls `main`. It then has two commands:

    VENV/bin/python SCRIPT train DATA OUTPUT --weights FILE --classes N --minutes M --seed S
    VENV/bin/python SCRIPT predict DATA OUTPUT SPLIT

DATA holds train, train_annotation and so on, with class indices and 255 for ignored pixels. OUTPUT receives model.pt,
result.json and the masks of the splits. Nothing of Segwright is imported.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from peer_arguments import parse_arguments

START = time.monotonic()
"""The budget begins before the network is built."""
IGNORE = 255
VALIDATION_SHARE = 0.1
"""Of the time; the last validation comes in any case."""
Sample = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How a peer trains."""

    network: nn.Module
    augment: Callable[[NDArray[np.uint8], NDArray[np.uint8]], Sample]
    """Image [H, W, 3] and mask [H, W] to what the loader collates: float32 [3, h, w] and int64 [h, w]."""
    loss: Callable[[nn.Module, Tensor, Tensor], Tensor]
    logits: Callable[[nn.Module, NDArray[np.uint8]], Tensor]
    """An image [H, W, 3] to logits [C, H, W]."""
    optimizer: torch.optim.Optimizer
    schedule: Callable[[float], float]
    """The share of the budget that is used to a factor of the learning rates."""
    batch_size: int


class TrainingSet(torch.utils.data.Dataset[Sample]):
    """The pairs of `train`."""

    def __init__(self, data: Path, augment: Callable[[NDArray[np.uint8], NDArray[np.uint8]], Sample]) -> None:
        self.pairs, self.augment = pairs(data, "train"), augment

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        image, mask = self.pairs[index]
        return self.augment(np.array(Image.open(image).convert("RGB")), np.array(Image.open(mask)))


class Shuffled(torch.utils.data.Sampler[int]):
    """Epoch after epoch without end, each in an order of its own."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.count).tolist()


class Trainer:
    """One training within a budget of seconds since `START`."""

    def __init__(self, recipe: Recipe, data: Path, output: Path, classes: int, budget: float) -> None:
        self.recipe, self.data, self.output, self.classes, self.budget = recipe, data, output, classes, budget
        self.updates, self.best = 0, -1.0
        self.validating = self.last_validation = 0.0

    def run(self) -> None:
        """Train, and keep the weights with the best validation score."""
        dataset = TrainingSet(self.data, self.recipe.augment)
        batch_size = min(self.recipe.batch_size, len(dataset))
        loader = torch.utils.data.DataLoader(dataset, batch_size, sampler=Shuffled(len(dataset)), num_workers=2)
        updates_per_epoch, validated = max(len(dataset) // batch_size, 1), 0
        rates = [group["lr"] for group in self.recipe.optimizer.param_groups]
        for images, masks in loader:
            used = min(elapsed() / self.budget, 1)
            for group, rate in zip(self.recipe.optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self.recipe.schedule(used)
            loss = self.update(images, masks)
            if self.updates % max(updates_per_epoch // 4, 1) == 0:
                say(f"update {self.updates}, loss {loss:.4f}, {used:.0%} of the time")
            if elapsed() + self.last_validation >= self.budget:
                break
            affordable = self.validating + self.last_validation <= VALIDATION_SHARE * elapsed()
            if affordable and self.updates - validated >= updates_per_epoch:
                self.validate()
                validated = self.updates
        self.validate()

    def update(self, images: Tensor, masks: Tensor) -> float:
        """One step; the loss before it."""
        self.recipe.network.train()
        loss = self.recipe.loss(self.recipe.network, images, masks)
        self.recipe.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.recipe.optimizer.step()
        self.updates += 1
        return float(loss.detach())

    def validate(self) -> None:
        """Score the validation images at their own size."""
        start, counts = time.monotonic(), torch.zeros(self.classes, self.classes, dtype=torch.int64)
        for image, mask in pairs(self.data, "validation"):
            labels = torch.from_numpy(np.array(Image.open(mask))).long()
            counted = labels != IGNORE
            predicted = infer(self.recipe, image)
            index = labels[counted] * self.classes + predicted[counted]
            counts += torch.bincount(index, minlength=self.classes**2).view(self.classes, self.classes)
        hits = counts.diagonal()
        mean_iou = float((hits / (counts.sum(0) + counts.sum(1) - hits).clamp(min=1)).mean())
        if mean_iou > self.best:
            self.best = mean_iou
            torch.save(self.recipe.network.state_dict(), self.output / "model.pt")
        self.last_validation = time.monotonic() - start
        self.validating += self.last_validation
        say(f"update {self.updates}: validation mean IoU {mean_iou:.4f}, best {self.best:.4f}")


def infer(recipe: Recipe, path: Path) -> Tensor:
    """The class of every pixel, int64 [H, W]."""
    recipe.network.eval()
    with torch.inference_mode():
        return recipe.logits(recipe.network, np.array(Image.open(path).convert("RGB"))).argmax(0)


def pairs(data: Path, split: str) -> list[tuple[Path, Path]]:
    """Images and masks of a split."""
    images = sorted((data / split).iterdir())
    return [(image, data / f"{split}_annotation" / f"{image.stem}.png") for image in images]


def elapsed() -> float:
    """Seconds since `START`."""
    return time.monotonic() - START


def say(text: str) -> None:
    """Show progress."""
    print(f"{elapsed():7.1f} s  {text}", flush=True)


def main(
    packages: tuple[str, ...],
    build: Callable[[argparse.Namespace], Recipe],
    add_options: Callable[[argparse.ArgumentParser], object] = lambda _parser: None,
) -> None:
    """Run a command of a peer's script; `packages` are those whose versions the result names."""
    arguments = parse_arguments(None, "of the encoder, as timm names them", add_options, weights_required=True)
    if arguments.command == "train":
        train(packages, build, arguments)
    else:
        predict(build, arguments)


def train(packages: tuple[str, ...], build: Callable[[argparse.Namespace], Recipe], arguments: Any) -> None:
    """Train, and write model.pt, the arguments and the result."""
    random.seed(arguments.seed)
    np.random.seed(arguments.seed)
    torch.manual_seed(arguments.seed)
    arguments.output.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(build(arguments), arguments.data, arguments.output, arguments.classes, 60 * arguments.minutes)
    trainer.run()
    settings = {name: value for name, value in vars(arguments).items() if name not in ("command", "data", "output")}
    versions = {package: version(package) for package in ("torch", *packages)}
    content = {"updates": trainer.updates, "versions": versions, "settings": settings}
    (arguments.output / "result.json").write_text(json.dumps(content, default=str))


def predict(build: Callable[[argparse.Namespace], Recipe], arguments: Any) -> None:
    """Write the masks of a split."""
    settings = json.loads((arguments.output / "result.json").read_text())["settings"]
    recipe = build(argparse.Namespace(**{**settings, "weights": Path(settings["weights"])}))
    recipe.network.load_state_dict(torch.load(arguments.output / "model.pt", weights_only=True))
    folder = arguments.output / arguments.split
    folder.mkdir(exist_ok=True)
    for image, _ in pairs(arguments.data, arguments.split):
        mask = infer(recipe, image).numpy().astype(np.uint8)
        Image.fromarray(mask).save(folder / f"{image.stem}.png")
    say(f"masks of {arguments.split} are written")
