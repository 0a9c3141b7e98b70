"""Files that are not read as images or masks, known by their endings or first bytes, and what to do with them."""

from collections import Counter
from collections.abc import Mapping
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


@dataclass(frozen=True)
class UnreadFiles:
    """Files of one folder that look like images and are not read."""

    what: str
    """How many there are of each ending, and an example."""
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
    """Whether the first bytes of a local file are those of an image."""
    if not isinstance(blob, FileBlob) or not blob.path.is_file():
        return False
    with suppress(OSError), blob.path.open("rb") as stream:
        head = stream.read(132)
        if sniff(head) == "BMP":  # BM may begin any text
            return head[6:10] == bytes(4)
        return sniff(head) is not None or is_unread_image(head)
    return False
