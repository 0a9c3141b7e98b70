"""Which class has which number and name, from label maps and class names, before any mask is read."""

import logging
from dataclasses import dataclass
from pathlib import Path

from segwright.data.channels import Channels, read_names
from segwright.errors import LabelError
from segwright.labels import LabelMap, read_class_names

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Classes:
    """What is known of the classes before any mask is read."""

    train_map: LabelMap
    validation_map: LabelMap
    names: tuple[str, ...] | None
    count: int | None  # how many there are; None where the masks have to show it


@dataclass(frozen=True)
class LabelMapInUse:
    """The label map of a channel, as a message of the log: in words, unless a handler has another form for it."""

    channel: str
    label_map: LabelMap
    names: tuple[str, ...] = ()
    given: bool = True

    def __str__(self) -> str:
        words = self.label_map.in_words(self.names)
        return f"{self.channel}: {'label map' if self.given else 'no label map is given'}: {words}"


def settle_classes(
    channels: Channels,
    num_classes: int | None = None,
    class_names: Path | None = None,
    usual_names: tuple[str, ...] | None = None,
) -> Classes:
    """Read label maps and class names. Raises LabelError where they disagree.

    Without `num_classes` there are as many classes as names, or else as the label map names. Names come from the file
    `class_names`, else from the file beside the label maps, else from the label map of the training masks, else,
    without label maps, from a table that a tool wrote beside the masks; their order numbers the classes of both label
    maps. Without any, and with no other `num_classes`, they are `usual_names`.
    """
    train_map, validation_map = channels.read_label_map("train"), channels.read_label_map("validation")
    names = train_map.class_names if train_map else None
    if file := class_names or channels.class_names_file():
        names = read_class_names(file) if isinstance(file, Path) else read_names(file)
    bare = names is None and train_map is None and validation_map is None
    if bare and (table := channels.class_table(num_classes)):
        names, train_map, validation_map = table.names, table.label_map(), table.label_map()
    train_map = _numbered("train", train_map, names)
    validation_map = _numbered("validation", validation_map, names)
    if names and num_classes and len(names) != num_classes:
        raise LabelError(
            f"{len(names)} class names ({', '.join(names)}) from {file or 'the label map'} do not fit num_classes "
            f"{num_classes}: correct one of the two, or leave num_classes out"
        )
    count = num_classes or (len(names) if names else train_map.class_count())
    if not names and usual_names and count in (None, len(usual_names)):
        names, count = usual_names, len(usual_names)
    return Classes(train_map, validation_map, names, count)


def _numbered(channel: str, label_map: LabelMap | None, names: tuple[str, ...] | None) -> LabelMap:
    """The label map of a channel with its classes in the order of the class names; it is logged."""
    if label_map is None:
        identity = LabelMap.identity()
        logger.info(LabelMapInUse(channel, identity, given=False))
        return identity
    if label_map.class_names and not names:
        raise LabelError(
            f"{channel}: the label map names classes ({', '.join(label_map.class_names)}), but nothing says which "
            "numbers they have in training. List all names in their order in label_map/class_names.json."
        )
    try:
        numbered = label_map.numbered_as(names or ())
    except LabelError as error:
        raise LabelError(f"{channel}: {error}") from None
    logger.info(LabelMapInUse(channel, numbered, names or ()))
    return numbered
