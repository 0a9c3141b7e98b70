"""Which files belong together: images and their masks in two folders, or side by side in one.

Knows folders, and which files in them are images, masks and neither. Refuses to open a picture or a mask: a file is
judged here by its name, by the rules in `mask_names`.

Source: SageMaker's contract, section 1.2.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from segwright.data.mask_names import match_in_one_folder, match_names
from segwright.data.naming import Name
from segwright.data.other_tools import known_endings, known_names
from segwright.data.pairs import Pair, Pairing
from segwright.data.unread import UnreadFiles, find_unread
from segwright.errors import DataError
from segwright.formats.images import IMAGE_SUFFIXES
from segwright.formats.masks import MASK_SUFFIXES
from segwright.storage import Blob, FileBlob, Location, S3Location, is_file, open_blob, walk_files
from segwright.wording import listed

logger = logging.getLogger(__name__)

CHANNELS: Final = ("train", "train_annotation", "validation", "validation_annotation", "label_map", "model")
"""Names of SageMaker's input channels, which are the names of the folders as well."""

_RULE: Final = (
    "A mask has the name of its image, as in street/01.jpg and street/01.png, or all masks add the same word, as in "
    "01_mask.png; files in sub-folders of different names are not mixed."
)
_RULE_IN_ONE: Final = (
    "Masks side by side with images add a word, as in 01.jpg and 01_mask.png, or lie in a sub-folder of their own."
)
_YIELDS: Final = ".gif"  # often an animation of the picture beside it


class _File(NamedTuple):
    """A file below a folder."""

    path: PurePosixPath
    blob: Blob
    name: Name

    @property
    def key(self) -> str:
        return str(self.name._replace(ending=""))


def find_pairs(images: Location, masks: Location) -> Pairing:
    """Pair the images below one folder with the masks below another, or what lies side by side in one.

    Files pair by their path below the folder without the ending. What is left pairs by name alone, where sub-folders
    cannot make one name mean two files, and by a word that all masks or images have in addition. Names that begin
    with a dot are skipped, and so are sub-folders that bear the name of another channel. Raises DataError for a missing
    folder, for two files with the same key, where several masks belong to one image, where masks would be their own
    images, and when nothing pairs.
    """
    if _below(masks, images) == PurePosixPath():
        return _pairs_in_one(images)
    image_files, mask_files = _files(images, without=_below(masks, images)), _files(masks, _below(images, masks))
    some_images, some_masks = _ending_in(IMAGE_SUFFIXES, image_files), _ending_in(MASK_SUFFIXES, mask_files)
    if not some_images or not some_masks:
        raise DataError(_nothing_there(images, masks, image_files, mask_files))
    _check_equal_keys(some_images)
    _check_equal_keys(some_masks)
    with _places_named(f"{images} and {masks}"):
        match = match_names([file.name for file in some_images], [file.name for file in some_masks])
    if not match.pairs:
        raise DataError(_nothing_pairs(images, masks, some_images, some_masks))
    pairs = [(some_images[image], some_masks[mask]) for image, mask in match.pairs]
    unread = [find_unread(image_files, some_images), find_unread(mask_files, some_masks)]
    return _pairing(pairs, some_images, some_masks, match.assumed, unread)


def _pairs_in_one(folder: Location) -> Pairing:
    """Pair what lies side by side in one folder. What is in no pair counts as an image, if it can be one."""
    all_files = _files(folder)
    files = _ending_in((*IMAGE_SUFFIXES, *MASK_SUFFIXES), all_files)
    with _places_named(str(folder)):
        match = match_in_one_folder([file.name for file in files], IMAGE_SUFFIXES, MASK_SUFFIXES)
    if not match.pairs:
        raise DataError(_nothing_pairs_in_one(folder, files, all_files))
    pairs = [(files[image], files[mask]) for image, mask in match.pairs]
    _check_equal_keys([image for image, _ in pairs])
    used = {file for pair in pairs for file in pair}
    images = [file for file in files if file not in used and file.path.suffix.lower() in IMAGE_SUFFIXES]
    others = [file for file in files if file not in used and file.path.suffix.lower() not in IMAGE_SUFFIXES]
    return _pairing(pairs, images, others, match.assumed, [find_unread(all_files, files)])


def list_images(paths: Sequence[Location], without: Path | None = None) -> list[tuple[str, Blob]]:
    """Images to predict: each file as given, and all images below each folder, as (relative stem, bytes).

    Folders are read as `find_pairs` reads them, but for what lies below `without`; what looks like a picture and is not
    read is told in a warning. Raises DataError for a path that does not exist, a folder without images, and two files
    that would share a relative stem.
    """
    found: dict[str, Blob] = {}
    for path in paths:
        for key, file in _images_at(path, without):
            if key in found:
                raise DataError(
                    f"{found[key].name} and {file.name} would both be called {key!r}: give them different outputs."
                )
            found[key] = file
    return list(found.items())


def _images_at(path: Location, without: Path | None) -> list[tuple[str, Blob]]:
    """Images by relative stem: a file as given, whatever its ending, or all images below a folder."""
    if is_file(path):
        return [(PurePosixPath(path.name).stem, open_blob(path))]
    files = _files(path, None if without is None else _below(without, path))
    found = _ending_in(IMAGE_SUFFIXES, files)
    if not found:
        raise DataError(_no_images(path, files))
    _check_equal_keys(found)
    if (unread := find_unread(files, found)) is not None:
        logger.warning("%s: %s. %s", path, unread, unread.cure)
    _tell_masks(path, found)
    return [(file.key, file.blob) for file in found]


def _tell_masks(folder: Location, images: Sequence[_File]) -> None:
    """Warn of images that are named as masks of others."""
    with suppress(DataError):
        pairs = match_in_one_folder([file.name for file in images], IMAGE_SUFFIXES, MASK_SUFFIXES).pairs
        if pairs:
            logger.warning(
                "%s: %d of %d pictures are named as masks of others, for example %s. They are read like all others: "
                "give a folder without them if that is not wanted.",
                folder,
                len(pairs),
                len(images),
                images[pairs[0][1]].path,
            )


def _files(folder: Location, without: PurePosixPath | None = None) -> list[_File]:
    """All files below a folder, but for those below a sub-folder, given by its path from there."""
    foreign = _Foreign(folder)
    found = []
    for path, blob in walk_files(folder, foreign):
        if without is None or without not in path.parents:
            parent, suffix = path.parent.as_posix(), path.suffix
            stem = path.name.removesuffix(suffix)
            found.append(_File(path, blob, Name("" if parent == "." else parent, stem, suffix)))
    foreign.tell()
    return found


def _ending_in(suffixes: Collection[str], files: Iterable[_File]) -> list[_File]:
    """The files with one of some endings; a GIF only where no other of them has its name."""
    found = [file for file in files if file.path.suffix.lower() in suffixes]
    keys = {file.key for file in found if file.path.suffix.lower() != _YIELDS}
    return [file for file in found if file.path.suffix.lower() != _YIELDS or file.key not in keys]


def _below(inner: Location, outer: Location) -> PurePosixPath | None:
    """The path from one place to another that lies below it, or is the same; else None."""
    with suppress(ValueError):
        if isinstance(inner, S3Location) and isinstance(outer, S3Location) and inner.bucket == outer.bucket:
            return PurePosixPath(inner.key).relative_to(outer.key)
        if isinstance(inner, Path) and isinstance(outer, Path):
            return PurePosixPath(inner.resolve().relative_to(outer.resolve()).as_posix())
    return None


def _check_equal_keys(files: Iterable[_File]) -> None:
    found: dict[str, _File] = {}
    for file in files:
        other = found.setdefault(file.key, file)
        if other is not file:
            raise DataError(
                f"{other.blob.name} and {file.blob.name} differ only in their "
                f"{'slashes' if other.path == file.path else 'ending'}: keep the one that counts."
            )


def _pairing(
    pairs: Sequence[tuple[_File, _File]],
    images: Iterable[_File],
    masks: Iterable[_File],
    assumed: tuple[str, ...],
    unread: Iterable[UnreadFiles | None],
) -> Pairing:
    """A pairing of some pairs among images and masks. Raises DataError for a mask that is its own image."""
    own = [image for image, mask in pairs if _is_same_file(image.blob, mask.blob)]
    if own:
        raise DataError(
            f"{len(own)} masks would be their own images, for example {own[0].blob.name}: one folder leads to the "
            "files of the other."
        )
    used = {file.blob.name for pair in pairs for file in pair}
    return Pairing(
        pairs=tuple(sorted((Pair(i.key, i.blob, m.blob) for i, m in pairs), key=lambda pair: pair.key)),
        unpaired_images=tuple(sorted(file.blob.name for file in images if file.blob.name not in used)),
        unpaired_masks=tuple(sorted(file.blob.name for file in masks if file.blob.name not in used)),
        assumed=assumed,
        unread=tuple(filter(None, unread)),
    )


def _is_same_file(one: Blob, other: Blob) -> bool:
    """Whether two names lead to one file, also by links."""
    if isinstance(one, FileBlob) and isinstance(other, FileBlob):
        with suppress(OSError):
            return one.path.samefile(other.path)
    return one.name == other.name


class _Foreign:
    """Tells sub-folders that are another channel, and not part of this one, and remembers which there were.

    S3 prefixes are plain string prefixes, so that the channel `train` may hold a sub-folder `train_annotation`. In a
    folder that is no channel itself, `train` and `validation` are ordinary splits of ordinary images, and only
    folders of masks are foreign.
    """

    def __init__(self, root: Location) -> None:
        self.root = root
        self.own = root.name if isinstance(root, S3Location) else root.resolve().name
        self.found: list[str] = []

    def __call__(self, folder: PurePosixPath) -> bool:
        if self.own in CHANNELS:
            foreign = folder.name in CHANNELS and folder.name != self.own
        else:
            foreign = folder.name.endswith("_annotation")
        if foreign:
            self.found.append(f"{self.root}/{folder}")
        return foreign

    def tell(self) -> None:
        """Say in one warning what was left out."""
        if self.found:
            verb = "is" if len(self.found) == 1 else "are"
            logger.warning("%s %s left out, because of another channel's name.", listed(self.found), verb)


@contextmanager
def _places_named(places: str) -> Iterator[None]:
    """Say which folders an error is about."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{places}: {error}") from None


def _no_images(folder: Location, files: Sequence[_File]) -> str:
    return f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)}){_but(files)}"


def _nothing_there(images: Location, masks: Location, image_files: Sequence[_File], mask_files: Sequence[_File]) -> str:
    """Why a folder has no images, or the other no masks."""
    if not _ending_in(IMAGE_SUFFIXES, image_files):
        return _no_images(images, image_files)
    if _ending_in(IMAGE_SUFFIXES, mask_files):
        return (
            f"{masks} holds no masks but JPEG or WebP files, whose compression changes class numbers: "
            "save masks as PNG."
        )
    return f"{masks} holds no masks ({', '.join(MASK_SUFFIXES)}){_but(mask_files)}"


def _but(files: Sequence[_File]) -> str:
    """What a folder holds in place of what is looked for, and what to do; the end of a sentence."""
    endings = _endings(files)
    if not endings:
        return "."
    found = listed([f"{ending or 'no ending'} ({count})" for ending, count in endings.most_common()])
    unread = find_unread(files, ())
    cure = unread.cure if unread else known_endings(endings)
    return f" but {found}. {cure}".rstrip()


def _endings(files: Iterable[_File]) -> Counter[str]:
    return Counter(file.path.suffix.lower() for file in files)


def _nothing_pairs(images: Location, masks: Location, some_images: Sequence[_File], some_masks: Sequence[_File]) -> str:
    """Why two folders gave no pair, and what to do."""
    stems = [file.name.stem for file in some_masks]
    return (
        f"None of the {len(some_images)} images in {images} has a mask in {masks}, which holds {len(some_masks)}: "
        f"images are {_examples(some_images)}, masks {_examples(some_masks)}. "
        + (known_names(stems) or _several(some_images, stems) or _RULE)
    )


def _several(images: Sequence[_File], masks: Sequence[str]) -> str:
    """A sentence where several masks begin with the name of an image, as those of single objects do."""
    known = {file.name.stem for file in images}
    begun = Counter(
        next((mask[:cut] for cut in range(len(mask) - 1, 0, -1) if mask[:cut] in known), None) for mask in masks
    )
    several = [(name, count) for name, count in begun.items() if name is not None and count > 1]
    if not several:
        return ""
    name, count = several[0]
    return (
        f"{count} masks begin with the name of the image {name}: a mask holds all classes of its image, so merge "
        "them into one."
    )


def _nothing_pairs_in_one(folder: Location, files: Sequence[_File], all_files: Sequence[_File]) -> str:
    """Why one folder gave no pair, and what to do."""
    if not files:
        return _no_images(folder, all_files)
    hint = known_names([file.name.stem for file in files]) or known_endings(_endings(all_files)) or _RULE_IN_ONE
    masks = len(_ending_in(MASK_SUFFIXES, files))
    if not masks:
        return f"{folder} holds {len(files)} images ({_examples(files)}) and no masks. {hint}"
    return (
        f"{masks} masks would be their own images: images and masks lie in one folder, {folder}, and their names do "
        f"not tell which is which: {_examples(files)}. {hint}"
    )


def _examples(files: Sequence[_File]) -> str:
    return listed([file.path for file in files])
