"""The pictures of a YOLO data set, each with its label file.

Knows how the path of a picture gives that of its labels: `images` becomes `labels`, or they lie side by side. Where
none lies so, a label file of the picture's name counts, wherever it is. Refuses to open any of them.

Source: https://docs.ultralytics.com/datasets/segment.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Final

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.importers.files import files_below, is_there, read_text
from segwright.importers.images import ImageFinder
from segwright.importers.yolo_dataset import YoloDataset, locate
from segwright.wording import listed

logger = logging.getLogger(__name__)

_NO_LABELS: Final = ("classes.txt", "labels.txt", "train.txt", "val.txt", "valid.txt", "test.txt", "readme.txt")


@dataclass(frozen=True)
class YoloPicture:
    """A picture, and what labels it."""

    image: Path
    labels: Path | None
    """Its label file; None where there is none."""
    split: Split | None = None


@dataclass(eq=False)
class _Search:
    """A data set, where its pictures are, and what was not found."""

    dataset: YoloDataset
    images: ImageFinder | None
    empty: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def pictures(self, entry: str, split: Split) -> Iterator[YoloPicture]:
        """The pictures of one entry of data.yaml: those in a folder, or those that a text file names."""
        place = locate(self.dataset, entry)
        if place is not None and place.is_file():
            for line in read_text(place).splitlines():
                if line.strip():
                    yield from self._listed(line.strip(), place.parent, split)
            return
        if found := [place / path for path in files_below(place, *IMAGE_SUFFIXES)] if place is not None else []:
            for image in found:
                yield YoloPicture(image, _label_file(image), split)
            return
        labels = locate(self.dataset, _among_labels(entry))
        if self.images and labels is not None and labels.is_dir():
            yield from self.labelled(labels, split)
        else:
            self.empty.append(entry)

    def _listed(self, line: str, base: Path, split: Split) -> Iterator[YoloPicture]:
        image = locate(self.dataset, line, base)
        if image is not None:
            yield YoloPicture(image, _label_file(image), split)
        elif (found := self._given(line)) is not None:
            spellings = (_among_labels(line), line)
            labels = (
                locate(self.dataset, str(PurePosixPath(spelling).with_suffix(".txt")), base) for spelling in spellings
            )
            yield YoloPicture(found, next((path for path in labels if path is not None), None), split)

    def labelled(self, folder: Path, split: Split | None) -> Iterator[YoloPicture]:
        """The pictures of the label files below a folder, looked for among the images that were given."""
        for path, _ in files_below(folder).items():
            if path.suffix.lower() == ".txt" and path.name not in _NO_LABELS:
                found = self._given(str(path.with_suffix("")))
                if found is not None:
                    yield YoloPicture(found, folder / path, split)

    def _given(self, name: str) -> Path | None:
        """The image of a name among those that were given."""
        found = self.images.find(name) if self.images else None
        if self.images and found:
            return self.images.folder / found.name
        self.missing.append(name)
        return None

    def tell(self) -> None:
        """Say what is left out."""
        for names, what in (
            (self.empty, "folders or lists that it names are not there or hold no pictures"),
            (self.missing, "pictures are not there and are left out; point to their folder with --images DIR"),
        ):
            if names:
                logger.warning(f"{self.dataset.place}: {len(names)} {what}: {listed(names)}")


def find_pictures(dataset: YoloDataset, images: Path | None) -> list[YoloPicture]:
    """The pictures of a data set, where its description says or below `images`; each once on either side.

    What is not there is told. Raises DataError where no picture is.
    """
    search = _Search(dataset, ImageFinder(images, everywhere=True) if images else None)
    if dataset.splits:
        found = [
            picture
            for split, entries in dataset.splits.items()
            for entry in entries
            for picture in search.pictures(entry, split)
        ]
    elif search.images:
        found = list(search.labelled(dataset.root, None))
    else:
        paths = [dataset.root / path for path in files_below(dataset.root, *IMAGE_SUFFIXES)]
        found = [YoloPicture(path, _label_file(path)) for path in paths]
    search.tell()
    if not found:
        raise DataError(_nothing(dataset))
    pictures = list({(picture.image.resolve(), picture.split): picture for picture in found}.values())
    return pictures if any(picture.labels for picture in pictures) else _by_name(pictures, dataset)


def _by_name(pictures: Sequence[YoloPicture], dataset: YoloDataset) -> list[YoloPicture]:
    """The pictures with the one label file below the data set that has their name, told where there are such."""
    texts = [path for path, _ in files_below(dataset.root).items() if path.suffix.lower() == ".txt"]
    counts = Counter(path.stem for path in texts)
    images = Counter(picture.image.stem for picture in pictures)
    unique = {path.stem: dataset.root / path for path in texts if counts[path.stem] == images[path.stem] == 1}
    if unique:
        logger.info(
            f"{dataset.place}: no label file lies in a folder labels beside images, or beside its picture: "
            f"{len(unique)} are taken by their names, for example {next(iter(unique.values()))}"
        )
    return [replace(picture, labels=unique.get(picture.image.stem)) for picture in pictures]


def _nothing(dataset: YoloDataset) -> str:
    entries = [entry for listed in dataset.splits.values() for entry in listed]
    if not entries:
        return (
            f"{dataset.root} holds no data.yaml, and no pictures: give the path of the data.yaml, or the folder of "
            "pictures with --images DIR."
        )
    return (
        f"{dataset.place}: there are no pictures at {listed(entries)}, from {dataset.root}. Correct train "
        "and val, or point to the folder of pictures with --images DIR."
    )


def _among_labels(path: str) -> str:
    """A path whose last part `images` is `labels`."""
    parts = list(PurePosixPath(path.replace("\\", "/")).parts)
    places = [place for place, part in enumerate(parts) if part == "images"]
    if places:
        parts[places[-1]] = "labels"
    return str(PurePosixPath(*parts))


def _label_file(image: Path) -> Path | None:
    """The label file of a picture."""
    places = (Path(path).with_suffix(".txt") for path in (_among_labels(image.as_posix()), image))
    return next((place for place in places if is_there(place)), None)
