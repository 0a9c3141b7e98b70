"""Where the pictures of a YOLO data set lie, and what its classes are called: by its data.yaml, if it has one.

Knows Ultralytics' `path`, `train`, `val` and `names`, that paths may be those of another machine or start from a wrong
folder (Roboflow's `../train/images`), and `classes.txt`. Refuses to know labels. In YAML every scalar is text, and
aliases are refused.

Source: https://docs.ultralytics.com/datasets/segment; CVAT, "Ultralytics YOLO".
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final

import yaml

from segwright.data.channels import Split
from segwright.errors import DataError
from segwright.importers.files import is_there, read_text
from segwright.wording import listed

logger = logging.getLogger(__name__)

_SPLITS: Final[dict[str, Split]] = {"train": "train", "val": "validation", "valid": "validation"}
_NAME_LISTS: Final = ("classes.txt", "obj.names", "labels.txt", "_darknet.labels")
_LARGEST: Final = 1 << 20  # bytes of a data.yaml


class _TextLoader(yaml.BaseLoader):  # type: ignore[misc]  # yaml has no types
    """YAML whose scalars are all text: a class may be called `no` or `1e3`. Aliases, which multiply, are refused."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read")
        return super().compose_node(parent, index)


@dataclass(frozen=True)
class YoloDataset:
    """A data set as its description has it."""

    file: Path | None
    """The description, if there is one."""
    root: Path
    """Where it lies."""
    path: str = ""
    """Where it says that it lies."""
    splits: Mapping[Split, tuple[str, ...]] = field(default_factory=dict)
    """Folders and lists of images for each side."""
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def place(self) -> Path:
        """What messages call it."""
        return self.file or self.root


def read_yolo_dataset(source: Path) -> YoloDataset:
    """Read the description at `source`, or that in a folder. Raises DataError for several, and for what is none."""
    file = _description(source)
    root = file.parent if file else source
    if file is None:
        return YoloDataset(None, root, names=_listed_names(root))
    text = read_text(file)
    if len(text) > _LARGEST:
        raise DataError(f"{file} has {len(text):,} characters; a data.yaml has fewer than {_LARGEST:,}.")
    content = _yaml(text, file)
    if "kpt_shape" in content:
        raise DataError(f"{file} describes poses (kpt_shape), whose labels are boxes and key points, not outlines.")
    names = _names(content.get("names"), file) or _listed_names(root)
    return YoloDataset(file, root, _text(content.get("path")), _splits(content), names)


def _description(source: Path) -> Path | None:
    if not source.is_dir():
        return source
    for pattern in ("data.yaml", "dataset.yaml", "*.yaml", "*.yml", "*/data.yaml"):
        found = sorted(path for path in source.glob(pattern) if not path.name.startswith("."))
        found = [path for path in found if "names" in _yaml(read_text(path), path)]
        if len(found) > 1:
            shown = listed([str(path) for path in found])
            raise DataError(f"{source} holds several descriptions of data sets: {shown}. Give the path of one.")
        if found:
            return found[0]
    return None


def _yaml(text: str, file: Path) -> dict[str, Any]:
    try:
        content = yaml.load(text, Loader=_TextLoader)
    except yaml.YAMLError as error:
        raise DataError(f"{file} is not valid YAML: {' '.join(str(error).split())}.") from None
    except RecursionError:
        raise DataError(f"{file} is nested too deeply for a data.yaml.") from None
    if not isinstance(content, dict):
        raise DataError(f"{file} is no data.yaml, which has the keys train, val and names.")
    return {str(key): value for key, value in content.items()}


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _splits(content: Mapping[str, Any]) -> dict[Split, tuple[str, ...]]:
    found: dict[Split, tuple[str, ...]] = {}
    for key, split in _SPLITS.items():
        value = content.get(key)
        entries = tuple(_text(entry) for entry in (value if isinstance(value, list) else [value]) if _text(entry))
        if entries:
            found.setdefault(split, entries)
    if _text(content.get("test")) or isinstance(content.get("test"), list):
        logger.info("test is not used: it is for judging the model that has been trained")
    return found


def _names(value: Any, file: Path) -> dict[int, str]:
    """The names by number, from a list, a mapping or one line of text."""
    if isinstance(value, str):
        value = [part for part in value.split(",") if part.strip()]
    entries = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ())
    found = {}
    for key, name in entries:
        if not str(key).isdecimal() or not _text(name):
            raise DataError(f"{file}: names has the entry {key!r}: {name!r}; it is a class number and its name.")
        found[int(key)] = _text(name)
    return found


def _listed_names(root: Path) -> dict[int, str]:
    """The names in a text file beside, one a line."""
    places = (folder / name for folder in (root, root / "labels") for name in _NAME_LISTS)
    file = next((place for place in places if is_there(place)), None)
    if file is None:
        return {}
    lines = [line.strip() for line in read_text(file).splitlines()]
    return dict(enumerate(line for line in lines if line))


def locate(dataset: YoloDataset, entry: str, base: Path | None = None) -> Path | None:
    """The folder or file that an entry names, looked for from `path`, from the description and from `base`.

    What is not there is looked for by the end of its path below the description's folder, since paths may be those of
    another machine; so is first what leads out of that folder, since Roboflow writes `../train/images` for
    `train/images`, and `train` of another data set may lie outside. None where nothing is.
    """
    plain = entry.replace("\\", "/")
    parts = [part for part in PurePosixPath(plain).parts if part not in ("/", ".", "..") and not part.endswith(":")]
    starts = [base] if base else []
    starts += [dataset.root / dataset.path.replace("\\", "/"), dataset.root]
    stated = [start / plain for start in starts]
    below = list(_ends(dataset.root, parts))
    leads_out = plain.startswith("../") and not dataset.path and base is None
    for path in (*below[:1], *stated, *below) if leads_out else (*stated, *below):
        try:
            if path.exists():
                return path
        except (OSError, ValueError):
            continue
    return None


def _ends(root: Path, parts: Sequence[str]) -> Iterator[Path]:
    """Below a folder, a path without its first parts: the longest first."""
    for first in range(len(parts)):
        yield root.joinpath(*parts[first:])
