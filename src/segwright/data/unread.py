"""Files that look like pictures and are not read: counted by ending, so that none is missed in silence.

Knows the endings of pictures, films and arrays. Refuses to know what the files are for.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Protocol

from segwright.formats.file_types import is_unread_image, sniff
from segwright.storage import Blob, FileBlob
from segwright.wording import counted, listed

_CURES: Final = (
    (".heic .heif .hif .avif", "Convert them to JPEG, as with `magick {file} {stem}.jpg`."),
    (
        ".jp2 .j2k .j2c .jpf .jpx .jxl .jxr .psd .psb .tga .svg .gif .ico .qoi .pcx .dds .xcf .ppm .pgm .pbm .pnm .pam "
        ".apng",
        "Convert them to PNG, as with `magick {file} {stem}.png`.",
    ),
    (
        ".dng .nef .cr2 .cr3 .arw .orf .rw2 .raf .raw .pef .srw",
        "They hold what a camera's sensor saw: develop them to TIFF or JPEG.",
    ),
    (".dcm .dicom .nii .nii.gz .nrrd .mha .mhd", "They are medical pictures: save their slices as PNG or TIFF."),
    (
        ".exr .hdr .pfm .img .ecw .sid .vrt .fits .fit .lsm .czi .nd2 .lif .svs .ndpi .mrxs .scn .vsi",
        "Convert them to TIFF, as with GDAL's gdal_translate or Bio-Formats' bfconvert.",
    ),
    (".npy .npz .mat .h5 .hdf5", "They hold arrays: save these as PNG or TIFF."),
    (".pdf .eps .ai", "They hold pages: render these to PNG."),
    (
        ".mp4 .mov .avi .mkv .webm .m4v .mpg .mpeg .wmv",
        "They are films: take pictures out of them, as with `ffmpeg -i {file} {stem}_%05d.png`.",
    ),
    (
        ".jpg .jpeg .jfif .jpe .jif .pjpeg .pjp .webp",
        "Their compression changes class numbers, so that they cannot be masks: masks are PNG files.",
    ),
)
"""Endings of files that are pictures, or hold some, and what to do with them where they are not read."""

_RENAME: Final = "Their first bytes are those of pictures: give them the ending of their format, such as .jpg or .png."
_CURE_OF: Final = {ending: cure for endings, cure in _CURES for ending in endings.split()}
_NO_PICTURES: Final = frozenset(
    (
        *(".txt", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".md", ".html", ".yaml", ".yml", ".log", ".py", ".ipynb"),
        *(".manifest", ".lst", ".rec", ".idx", ".pkl", ".db", ".ini", ".geojson", ".shp", ".dbf", ".shx", ".prj"),
        *(".aux", ".ovr", ".msk"),  # GDAL's, beside the picture that they are about, and TIFF by their bytes
    )
)
_LOOKED_INTO: Final = 500  # files of other endings; each costs the opening of a file
_SHOWN: Final = 6


@dataclass(frozen=True)
class UnreadFiles:
    """Files of one folder that look like pictures and are not read."""

    names: tuple[str, ...]
    counts: tuple[tuple[str, int], ...]
    """Endings with their number, the most frequent first; files whose bytes tell them have the ending they have."""
    cure: str

    def __str__(self) -> str:
        endings = listed([f"{ending} ({count})" for ending, count in self.counts], _SHOWN)
        which = counted(len(self.names), "file is", "files are")
        return f"{which} not read: {endings}, for example {self.names[0]}"


class File(Protocol):
    """A file below a folder."""

    @property
    def path(self) -> PurePosixPath:
        """Its path from there."""

    @property
    def blob(self) -> Blob:
        """Its bytes."""


def find_unread(files: Iterable[File], read: Iterable[File]) -> UnreadFiles | None:
    """Those of some files that are not among the ones that are read and look like pictures; None where there are none.

    Local files of unknown endings, and without any, are known by their first bytes.
    """
    passed = {file.path for file in read}
    others = [file for file in files if file.path not in passed and _ending(file.path) not in _NO_PICTURES]
    strange = [file for file in others if _ending(file.path) not in _CURE_OF]
    pictures = {file.path for file in strange[:_LOOKED_INTO] if _is_picture(file.blob)}
    found = [file for file in others if _ending(file.path) in _CURE_OF or file.path in pictures]
    if not found:
        return None
    counts = Counter(_ending(file.path) for file in found).most_common()
    example = next(file.path for file in found if _ending(file.path) == counts[0][0])
    cure = _CURE_OF.get(counts[0][0], _RENAME)
    return UnreadFiles(
        tuple(file.blob.name for file in found),
        tuple((_shown(ending), count) for ending, count in counts),
        cure.format(file=example.name, stem=example.stem),
    )


def _shown(ending: str) -> str:
    return repr(ending) if ending != ending.strip() else ending or "without ending"


def _ending(path: PurePosixPath) -> str:
    """The ending of a file in lower case."""
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else PurePosixPath(name).suffix


def _is_picture(blob: Blob) -> bool:
    """Whether the first bytes of a local file are those of a picture."""
    if not isinstance(blob, FileBlob) or not blob.path.is_file():
        return False
    with suppress(OSError), blob.path.open("rb") as stream:
        head = stream.read(132)
        if sniff(head) == "BMP":  # BM may begin any text
            return head[6:10] == bytes(4)
        return sniff(head) is not None or is_unread_image(head)
    return False
