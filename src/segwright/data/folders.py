"""Which files below folders are images and masks, and which of them are pairs by the rules of `matching`.

Source: SageMaker's contract, section 1.2.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from segwright.data.matching import Name, match_names
from segwright.data.pairs import Pair, Pairing
from segwright.data.unread import UnreadFiles, find_unread, known_endings, known_names
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
_YIELDS: Final = ".gif"  # often an animation of the image beside it


class _File(NamedTuple):
    path: PurePosixPath
    blob: Blob
    name: Name

    @property
    def key(self) -> str:
        return str(self.name._replace(ending=""))

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()


def find_pairs(images: Location, masks: Location) -> Pairing:
    """Pair the images below one folder with the masks below another, or what lies side by side in one.

    Names that begin with a dot are skipped, and so are sub-folders with the name of another channel. In one folder what
    is in no pair counts as an image, if it can be one. Raises DataError for a missing folder, for two files with one
    key, where several masks belong to one image, where masks would be their own images, and when nothing pairs.
    """
    one_folder = _below(masks, images) == PurePosixPath()
    if one_folder:
        listings = [_files(images)]
        files = _ending_in((*IMAGE_SUFFIXES, *MASK_SUFFIXES), listings[0])
        may_be_image = {number for number, file in enumerate(files) if file.suffix in IMAGE_SUFFIXES}
        may_be_mask = {number for number, file in enumerate(files) if file.suffix in MASK_SUFFIXES}
    else:
        listings = [_files(images, without=_below(masks, images)), _files(masks, without=_below(images, masks))]
        some_images, some_masks = _ending_in(IMAGE_SUFFIXES, listings[0]), _ending_in(MASK_SUFFIXES, listings[1])
        if not some_images or not some_masks:
            raise DataError(_nothing_there(images, masks, *listings))
        _check_equal_keys(some_images)
        _check_equal_keys(some_masks)
        files = [*some_images, *some_masks]
        may_be_image, may_be_mask = set(range(len(some_images))), set(range(len(some_images), len(files)))
    try:
        match = match_names([file.name for file in files], may_be_image, may_be_mask)
    except DataError as error:
        raise DataError(f"{images}{'' if one_folder else f' and {masks}'}: {error}") from None
    if not match.pairs and one_folder:
        raise DataError(_nothing_pairs_in_one(images, files, listings[0]))
    if not match.pairs:
        raise DataError(_nothing_pairs(images, masks, some_images, some_masks))
    pairs = [(files[image], files[mask]) for image, mask in match.pairs]
    _check_equal_keys([image for image, _ in pairs])
    if own := [image.blob.name for image, mask in pairs if _is_same_file(image.blob, mask.blob)]:
        raise DataError(
            f"{len(own)} masks would be their own images, for example {own[0]}: one folder leads to the files of the "
            "other."
        )
    alone = sorted(set(range(len(files))).difference(*match.pairs), key=lambda number: files[number].blob.name)
    return Pairing(
        tuple(sorted((Pair(i.key, i.blob, m.blob) for i, m in pairs), key=lambda pair: pair.key)),
        unpaired_images=tuple(files[number].blob.name for number in alone if number in may_be_image),
        unpaired_masks=tuple(files[number].blob.name for number in alone if number not in may_be_image),
        assumed=match.assumed,
        unread=tuple(filter(None, (_find_unread(listing, files) for listing in listings))),
    )


def list_images(paths: Sequence[Location], without: Path | None = None) -> list[tuple[str, Blob]]:
    """Images to predict: each file as given, and all images below each folder, as (relative stem, bytes).

    Folders are read as `find_pairs` reads them, but for what lies below `without`. Raises DataError for a path that
    does not exist, a folder without images, and two files that would share a relative stem.
    """
    found: dict[str, Blob] = {}
    for path in paths:
        single = [(PurePosixPath(path.name).stem, open_blob(path))] if is_file(path) else []
        for key, blob in single or [(file.key, file.blob) for file in _images_below(path, without)]:
            if key in found:
                raise DataError(
                    f"{found[key].name} and {blob.name} would both be called {key!r}: give them different outputs."
                )
            found[key] = blob
    return list(found.items())


def _images_below(path: Location, without: Path | None) -> list[_File]:
    """The images below a folder; warnings report what is not read, and what is named as a mask."""
    files = _files(path, None if without is None else _below(without, path))
    images = _ending_in(IMAGE_SUFFIXES, files)
    if not images:
        raise DataError(_no_images(path, files))
    _check_equal_keys(images)
    if unread := _find_unread(files, images):
        logger.warning("%s: %s. %s", path, unread, unread.cure)
    with suppress(DataError):
        masks = {number for number, file in enumerate(images) if file.suffix in MASK_SUFFIXES}
        if pairs := match_names([file.name for file in images], range(len(images)), masks).pairs:
            logger.warning(
                f"{path}: {len(pairs)} of {len(images)} images are named as masks of others, for example "
                f"{images[pairs[0][1]].path}. They are read like all others: give a folder without them if that is not "
                "wanted."
            )
    return images


def _files(folder: Location, without: PurePosixPath | None = None) -> list[_File]:
    """All files below a folder but for those of other channels; S3 prefixes are such folders too."""
    own = folder.name if isinstance(folder, S3Location) else folder.resolve().name
    left_out: list[str] = []

    def is_left_out(path: PurePosixPath) -> bool:
        # a prefix `train` in S3 may hold `train_annotation`; below what is no channel, `train` is an ordinary split
        name = path.name
        is_other = name in CHANNELS and name != own if own in CHANNELS else name.endswith("_annotation")
        left_out.extend([f"{folder}/{path}"] if is_other else [])
        return is_other

    found = []
    for path, blob in walk_files(folder, is_left_out):
        if without is None or without not in path.parents:
            parent = path.parent.as_posix()
            stem = path.name.removesuffix(path.suffix)
            found.append(_File(path, blob, Name("" if parent == "." else parent, stem, path.suffix)))
    if left_out:
        verb = "is" if len(left_out) == 1 else "are"
        logger.warning("%s %s left out, because of another channel's name.", listed(left_out), verb)
    return found


def _ending_in(suffixes: Collection[str], files: Iterable[_File]) -> list[_File]:
    """The files with one of some endings; a GIF only where no other of them has its name."""
    found = [file for file in files if file.suffix in suffixes]
    keys = {file.key for file in found if file.suffix != _YIELDS}
    return [file for file in found if file.suffix != _YIELDS or file.key not in keys]


def _find_unread(files: Iterable[_File], read: Iterable[_File]) -> UnreadFiles | None:
    names = {file.blob.name for file in read}
    return find_unread({file.path: file.blob for file in files if file.blob.name not in names})


def _below(inner: Location, outer: Location) -> PurePosixPath | None:
    """The path from one location to another that lies below it, or is the same; else None."""
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
            what = "slashes" if other.path == file.path else "ending"
            raise DataError(
                f"{other.blob.name} and {file.blob.name} differ only in their {what}: keep the one that counts."
            )


def _is_same_file(one: Blob, other: Blob) -> bool:
    if isinstance(one, FileBlob) and isinstance(other, FileBlob):
        with suppress(OSError):
            return one.path.samefile(other.path)
    return one.name == other.name


def _no_images(folder: Location, files: Sequence[_File]) -> str:
    return f"{folder} holds no images ({', '.join(IMAGE_SUFFIXES)}){_but(files)}"


def _nothing_there(images: Location, masks: Location, image_files: Sequence[_File], mask_files: Sequence[_File]) -> str:
    if not _ending_in(IMAGE_SUFFIXES, image_files):
        return _no_images(images, image_files)
    if _ending_in(IMAGE_SUFFIXES, mask_files):
        return (
            f"{masks} holds no masks but JPEG or WebP files, whose compression changes class numbers: save masks as "
            "PNG."
        )
    return f"{masks} holds no masks ({', '.join(MASK_SUFFIXES)}){_but(mask_files)}"


def _but(files: Sequence[_File]) -> str:
    """What a folder holds in place of what is looked for, and what to do; the end of a sentence."""
    endings = Counter(file.suffix for file in files)
    if not endings:
        return "."
    found = listed([f"{ending or 'no ending'} ({count})" for ending, count in endings.most_common()])
    unread = _find_unread(files, ())
    return f" but {found}. {unread.cure if unread else known_endings(endings)}".rstrip()


def _nothing_pairs(images: Location, masks: Location, some_images: Sequence[_File], some_masks: Sequence[_File]) -> str:
    stems = [file.name.stem for file in some_masks]
    known = {file.name.stem for file in some_images}
    starts = (next((stem[:cut] for cut in range(len(stem) - 1, 0, -1) if stem[:cut] in known), "") for stem in stems)
    several = next(((start, count) for start, count in Counter(starts).items() if start and count > 1), None)
    hint = known_names(stems) or _RULE
    if several and hint is _RULE:
        hint = (
            f"{several[1]} masks begin with the name of the image {several[0]}: a mask holds all classes of its image, "
            "so merge them into one."
        )
    return (
        f"None of the {len(some_images)} images in {images} has a mask in {masks}, which holds {len(some_masks)}: "
        f"images are {_examples(some_images)}, masks {_examples(some_masks)}. {hint}"
    )


def _nothing_pairs_in_one(folder: Location, files: Sequence[_File], all_files: Sequence[_File]) -> str:
    if not files:
        return _no_images(folder, all_files)
    endings = Counter(file.suffix for file in all_files)
    hint = known_names([file.name.stem for file in files]) or known_endings(endings) or _RULE_IN_ONE
    masks = len(_ending_in(MASK_SUFFIXES, files))
    if not masks:
        return f"{folder} holds {len(files)} images ({_examples(files)}) and no masks. {hint}"
    return (
        f"{masks} masks would be their own images: images and masks lie in one folder, {folder}, and their names do "
        f"not tell which is which: {_examples(files)}. {hint}"
    )


def _examples(files: Sequence[_File]) -> str:
    return listed([file.path for file in files])
