"""Files that are not read as images or masks, and what to do with them: other image formats, other tools' exports."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from segwright.formats.file_types import is_unread_image, sniff
from segwright.storage import Blob, FileBlob
from segwright.wording import counted, listed

_CURES: Final = {
    ".heic .heif .hif .avif": "Convert them to JPEG, as with `magick {file} {stem}.jpg`.",
    ".jp2 .j2k .j2c .jpf .jpx .jxl .jxr .psd .psb .tga .svg .gif .ico .qoi .pcx .dds .xcf .ppm .pgm .pbm .pnm .pam "
    ".apng": "Convert them to PNG, as with `magick {file} {stem}.png`.",
    ".dng .nef .cr2 .cr3 .arw .orf .rw2 .raf .raw .pef .srw": "They hold what a camera's sensor saw: develop them to "
    "TIFF or JPEG.",
    ".dcm .dicom .nii .nii.gz .nrrd .mha .mhd": "They are medical images: save their slices as PNG or TIFF.",
    ".exr .hdr .pfm .img .ecw .sid .vrt .fits .fit .lsm .czi .nd2 .lif .svs .ndpi .mrxs .scn .vsi": "Convert them to "
    "TIFF, as with GDAL's gdal_translate or Bio-Formats' bfconvert.",
    ".npy .npz .mat .h5 .hdf5": "They hold arrays: save these as PNG or TIFF.",
    ".pdf .eps .ai": "They hold pages: render these to PNG.",
    ".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg .wmv": "They are films: take images out of them, as with `ffmpeg -i "
    "{file} {stem}_%05d.png`.",
    ".jpg .jpeg .jfif .jpe .jif .pjpeg .pjp .webp": "Their compression changes class numbers, so that they cannot be "
    "masks: masks are PNG files.",
}
_CURE_OF: Final = {ending: cure for endings, cure in _CURES.items() for ending in endings.split()}
"""What to do with images of an ending, or files that hold some, where they are not read."""

_RENAME: Final = "Their first bytes are those of images: give them the ending of their format, such as .jpg or .png."
_NO_IMAGES: Final = frozenset(
    (
        *(".txt", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".md", ".html", ".yaml", ".yml", ".log", ".py", ".ipynb"),
        *(".manifest", ".lst", ".rec", ".idx", ".pkl", ".db", ".ini", ".geojson", ".shp", ".dbf", ".shx", ".prj"),
        *(".aux", ".ovr", ".msk"),  # GDAL's, beside the image that they are about, and TIFF by their bytes
    )
)
_LOOKED_INTO: Final = 500  # files of other endings; each costs the opening of a file
_SHOWN: Final = 6


# Exports of other tools: hints by file names, endings and content.
_NAMES: Final = {
    r"task-\d+-annotation-\d+-by-\d+-tag-.+-\d+": "These are the brush masks of Label Studio, one for each class and "
    "annotation: `segwright import-data label-studio` reads its export.",
    r".+_gt(Fine|Coarse)_\w+": "These are Cityscapes' masks: `segwright import-data cityscapes` reads the data set.",
    r"instances?_\w+|.+[-_ ]instances?(_?ids?)?": "Masks of instances do not tell classes: export masks of classes, or "
    "COCO for `segwright import-data coco`.",
}
_ENDINGS: Final = {
    ".json": "`segwright import-data labelme` or `coco` draws masks from .json files.",
    ".txt": "`segwright import-data yolo` draws masks from .txt files of polygons.",
    ".xml": "Boxes in .xml files are no masks: export masks, or polygons as COCO for `segwright import-data coco`.",
}

_GIVE_IT: Final = "give it to import-data"
_CONTENTS: Final[tuple[tuple[str, tuple[bytes, ...], str], ...]] = (
    ("coco", (b'"images"', b'"annotations"', b'"categories"'), f"is an annotation file of COCO: {_GIVE_IT} coco."),
    ("labelme", (b'"shapes"', b'"imagePath"'), "is a file of LabelMe: give its folder to import-data labelme."),
    ("label-studio", (b'"from_name"', b'"to_name"'), f"is Label Studio's JSON: {_GIVE_IT} label-studio."),
    ("label-studio", (b'"brushlabels"',), f"is Label Studio's JSON: {_GIVE_IT} label-studio."),
    ("", (b'"shape_attributes"',), "is a project of VIA: export its annotations in COCO format and import those."),
    ("", (b'"data_row"', b'"projects"'), "is Labelbox's own export: convert it to COCO with Labelbox's SDK."),
    ("", (b'"classTitle"', b'"geometryType"'), "is of Supervisely: export the project as COCO or Pascal VOC."),
    ("", (b'"items"', b'"label"', b'"labels"'), "is of Datumaro: convert it with `datum convert -f coco`."),
    ("", (b"<annotations>", b"<version>"), "is CVAT's XML: export 'Segmentation mask 1.1', for import-data voc."),
)


@dataclass(frozen=True)
class UnreadFiles:
    """Files of one folder that look like images and are not read."""

    what: str  # how many there are of each ending, and an example
    cure: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return self.what


def find_unread(files: Mapping[PurePosixPath, Blob]) -> UnreadFiles | None:
    """Those of some files, by their paths, that look like images; local ones by their bytes, if by no ending."""
    others = [path for path in files if _ending(path) not in _NO_IMAGES]
    unknown = [path for path in others if _ending(path) not in _CURE_OF]
    images = {path for path in unknown[:_LOOKED_INTO] if _is_image(files[path])}
    found = [path for path in others if _ending(path) in _CURE_OF or path in images]
    if not found:
        return None
    counts = Counter(map(_ending, found)).most_common()
    example = next(path for path in found if _ending(path) == counts[0][0])
    endings = [
        f"{repr(ending) if ending != ending.strip() else ending or 'without ending'} ({count})"
        for ending, count in counts
    ]
    names = tuple(files[path].name for path in found)
    return UnreadFiles(
        f"{counted(len(names), 'file is', 'files are')} not read: {listed(endings, _SHOWN)}, for example {names[0]}",
        _CURE_OF.get(counts[0][0], _RENAME).format(file=example.name, stem=example.stem),
        names,
    )


def _ending(path: PurePosixPath) -> str:
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else PurePosixPath(name).suffix


def _is_image(blob: Blob) -> bool:
    if not isinstance(blob, FileBlob) or not blob.path.is_file():
        return False
    with suppress(OSError), blob.path.open("rb") as stream:
        head = stream.read(132)
        if sniff(head) == "BMP":  # BM may begin any text
            return head[6:10] == bytes(4)
        return sniff(head) is not None or is_unread_image(head)
    return False


def known_names(masks: Sequence[str]) -> str:
    """A sentence on masks, by their names without ending, whose tool is known by them; else nothing."""
    for pattern, hint in _NAMES.items():
        if 2 * sum(bool(re.fullmatch(pattern, name)) for name in masks) > len(masks):
            return hint
    return ""


def known_endings(endings: Counter[str]) -> str:
    """A sentence on files, by how many there are of each ending, that may be annotations; else nothing."""
    return next((_ENDINGS[ending] for ending, _ in endings.most_common() if ending in _ENDINGS), "")


def known_content(data: bytes) -> tuple[str, str]:
    """The format under which `import-data` reads a file, if any, and what to say of it; nothing for unknown files."""
    found = ((kind, hint) for kind, words, hint in _CONTENTS if all(word in data for word in words))
    return next(found, ("", ""))
