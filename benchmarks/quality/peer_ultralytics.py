"""Ultralytics' semantic segmentation task (AGPL-3.0) with its defaults; nothing else imports it.

    VENV/bin/python benchmarks/quality/peer_ultralytics.py train DATA OUTPUT --classes N --minutes M --seed S
    VENV/bin/python benchmarks/quality/peer_ultralytics.py predict DATA OUTPUT SPLIT

The network is YOLO26n-sem: the task takes no other encoder. Its weights, pretrained on Cityscapes, are downloads, so it
starts from random ones, which the tables say. The budget is the task's own argument `time`. Everything else is as its
documents have it: images of 640 pixels, batches of 16, optimizer by rule, mosaic; the best weights by validation.
"""

import argparse
import json
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image

from peer_arguments import parse_arguments

MODEL = "yolo26n-sem.yaml"


def main() -> None:
    """Run a command."""
    arguments = parse_arguments(
        __doc__,
        "not used: the task takes no other encoder",
        lambda training: training.add_argument("--image-size", type=int, default=640),
    )
    os.environ |= {"YOLO_CONFIG_DIR": str(arguments.output.resolve()), "YOLO_OFFLINE": "true"}
    if arguments.command == "train":
        train(arguments)
    else:
        predict(arguments)


def train(arguments: argparse.Namespace) -> None:
    """Train, and write the result."""
    from ultralytics import YOLO  # type: ignore[import-not-found]

    model, updates = YOLO(MODEL), []
    model.add_callback("on_train_batch_end", lambda trainer: updates.append(trainer.epoch))
    model.train(
        data=str(description(arguments.data, arguments.output, arguments.classes)),
        time=arguments.minutes / 60,
        imgsz=arguments.image_size,
        seed=arguments.seed,
        device="cpu",
        workers=2,
        plots=False,
        project=str(arguments.output.resolve()),
        name="training",
        exist_ok=True,
    )
    content = {
        "updates": len(updates),
        "versions": {package: version(package) for package in ("torch", "ultralytics")},
        "settings": {"image_size": arguments.image_size},
    }
    (arguments.output / "result.json").write_text(json.dumps(content))


def description(data: Path, output: Path, classes: int) -> Path:
    """The data in the task's layout, images/SPLIT beside masks/SPLIT, and the file that describes them."""
    for split in ("train", "validation"):
        for kind, folder in (("images", split), ("masks", f"{split}_annotation")):
            target = output / "data" / kind / split
            target.mkdir(parents=True, exist_ok=True)
            for path in (data / folder).iterdir():
                (target / path.name).unlink(missing_ok=True)
                (target / path.name).symlink_to(path.resolve())
    content = {
        "path": str((output / "data").resolve()),
        "train": "images/train",
        "val": "images/validation",
        "masks_dir": "masks",
        "names": {index: str(index) for index in range(classes)},
    }
    path = output / "data.yaml"
    path.write_text(json.dumps(content))  # JSON is YAML
    return path


def predict(arguments: argparse.Namespace) -> None:
    """Write the masks of a split."""
    from ultralytics import YOLO

    size = json.loads((arguments.output / "result.json").read_text())["settings"]["image_size"]
    model = YOLO(arguments.output / "training" / "weights" / "best.pt")
    folder = arguments.output / arguments.split
    folder.mkdir(exist_ok=True)
    for path in sorted((arguments.data / arguments.split).iterdir()):
        (result,) = model.predict(path, imgsz=size, device="cpu", verbose=False)
        Image.fromarray(np.asarray(result.semantic_mask.data).astype(np.uint8)).save(folder / f"{path.stem}.png")


if __name__ == "__main__":
    main()
