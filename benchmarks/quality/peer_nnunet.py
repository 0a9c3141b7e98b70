"""nnU-Net v2, configuration 2d, planned and trained by itself on the CPU, cut off by the budget.

    VENV/bin/python benchmarks/quality/peer_nnunet.py train DATA OUTPUT --classes N --minutes M --seed S
    VENV/bin/python benchmarks/quality/peer_nnunet.py predict DATA OUTPUT SPLIT

It chooses network, patch, batch and augmentation itself, and starts from random weights: it has no other way. Its 1000
epochs of 250 iterations become as many iterations as the budget holds, planning and preprocessing included, with its
learning rate schedule over the time; an epoch ends after a twentieth of the budget. Predictions are its own: the final
weights, overlapping windows, mirrored images averaged.
"""

import argparse
import functools
import json
import os
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from PIL import Image

from peer_arguments import parse_arguments

START = time.monotonic()
NAME = "Dataset001_quality"
EPOCHS = 20


def main() -> None:
    """Run a command."""
    arguments = parse_arguments(__doc__, "not used: nnU-Net starts from random weights")
    for kind in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{kind}"] = str(arguments.output.resolve() / kind)
    os.environ.update({"nnUNet_n_proc_DA": "2"})
    if arguments.command == "train":
        train(arguments)
    else:
        predict(arguments)


def train(arguments: argparse.Namespace) -> None:
    """Plan, preprocess and train, and write the result."""
    import torch
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (  # type: ignore[import-not-found]
        extract_fingerprint_dataset,
        plan_experiment_dataset,
        preprocess_dataset,
    )

    torch.manual_seed(arguments.seed)
    convert(arguments.data, arguments.output, arguments.classes)
    extract_fingerprint_dataset(1, num_processes=2)
    plan_experiment_dataset(1)
    preprocess_dataset(1, configurations=("2d",), num_processes=(2,))
    splits = [{key: case_names(arguments.data, split) for key, split in (("train", "train"), ("val", "validation"))}]
    preprocessed = arguments.output / "preprocessed" / NAME
    (preprocessed / "splits_final.json").write_text(json.dumps(splits))

    plans = json.loads((preprocessed / "nnUNetPlans.json").read_text())
    description = json.loads((preprocessed / "dataset.json").read_text())
    trainer = budgeted_trainer()(
        plans={**plans, "continue_training": False},
        configuration="2d",
        fold=0,
        dataset_json=description,
        device=torch.device("cpu"),
    )
    trainer.budget = 60 * arguments.minutes
    trainer.run_training()
    content = {
        "updates": trainer.updates,
        "versions": {package: version(package) for package in ("torch", "nnunetv2")},
        "settings": {key: plans["configurations"]["2d"][key] for key in ("patch_size", "batch_size")},
    }
    (arguments.output / "result.json").write_text(json.dumps(content))


@functools.cache
def budgeted_trainer() -> Any:
    """nnU-Net's trainer with a loop that ends when the time is over."""
    import torch
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # type: ignore[import-not-found]

    class Budgeted(nnUNetTrainer):  # type: ignore[misc]
        budget: float
        updates: int = 0

        def run_training(self) -> None:
            self.on_train_start()
            while (begin := time.monotonic()) < START + self.budget:
                # Its schedule is a function of current_epoch / max_steps: here the share of the time that is used.
                used = min((begin - START) / self.budget, 1)
                self.lr_scheduler.max_steps = self.current_epoch / used if self.current_epoch else 1
                self.on_epoch_start()
                self.on_train_epoch_start()
                end = min(begin + self.budget / EPOCHS, START + self.budget)
                losses: list[Any] = []
                while not losses or time.monotonic() < end:
                    losses.append(self.train_step(next(self.dataloader_train)))
                    self.updates += 1
                self.on_train_epoch_end(losses)
                with torch.no_grad():
                    self.on_validation_epoch_start()
                    count = max(len(losses) * self.num_val_iterations_per_epoch // self.num_iterations_per_epoch, 1)
                    self.on_validation_epoch_end(
                        [self.validation_step(next(self.dataloader_val)) for _ in range(count)]
                    )
                self.on_epoch_end()
            self.on_train_end()

    Budgeted.__name__ = nnUNetTrainer.__name__  # predictions look the trainer up by its name, for the architecture
    return Budgeted


def convert(data: Path, output: Path, classes: int) -> None:
    """Training and validation images as nnU-Net takes them: PNG, in one folder, numbered as channels."""
    folder = output / "raw" / NAME
    for split in ("train", "validation"):
        for kind in ("imagesTr", "labelsTr"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
        for image in images(data, split):
            Image.open(image).convert("RGB").save(folder / "imagesTr" / f"{image.stem}_0000.png")
            mask = Image.open(data / f"{split}_annotation" / f"{image.stem}.png")
            mask.save(folder / "labelsTr" / f"{image.stem}.png")
    description = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, **{f"class {index}": index for index in range(1, classes)}},
        "numTraining": sum(len(case_names(data, split)) for split in ("train", "validation")),
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }
    (folder / "dataset.json").write_text(json.dumps(description))


def images(data: Path, split: str) -> Iterator[Path]:
    """The images of a split, in order."""
    yield from sorted((data / split).iterdir())


def case_names(data: Path, split: str) -> list[str]:
    """The names of the cases of a split."""
    return [image.stem for image in images(data, split)]


def predict(arguments: argparse.Namespace) -> None:
    """Write the masks of a split."""
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor  # type: ignore[import-not-found]

    predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
    trained = arguments.output / "results" / NAME / "nnUNetTrainer__nnUNetPlans__2d"
    predictor.initialize_from_trained_model_folder(str(trained), use_folds=(0,))
    converted, folder = arguments.output / f"{arguments.split}_images", arguments.output / arguments.split
    for path in (converted, folder):
        path.mkdir(exist_ok=True)
    sources, targets = [], []
    for image in images(arguments.data, arguments.split):
        sources.append([str(converted / f"{image.stem}_0000.png")])
        targets.append(str(folder / image.stem))
        Image.open(image).convert("RGB").save(sources[-1][0])
    predictor.predict_from_files_sequential(sources, targets)


if __name__ == "__main__":
    main()
