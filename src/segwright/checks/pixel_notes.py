"""What readers dropped from files or assumed of them, a finding for each kind.

Knows the notes of `formats.notes` and makes sentences with a count, an example and a cure. Refuses to open files.
"""

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from segwright.checks.scan import PairScan
from segwright.findings import Finding
from segwright.formats.pixels import Note, NoteKind

Kind = Literal["image", "mask"]

_ORDER: Final[tuple[NoteKind, ...]] = ("pages", "band", "zero", "no-data", "rounded")


class NotedFile(NamedTuple):
    """A note and the file that it is about."""

    name: str
    note: Note


def pixel_findings(readings: Sequence[PairScan], channel: str) -> Iterator[Finding]:
    """What was dropped or assumed in the images and masks of a channel."""
    images = [NotedFile(one.pair.image.name, note) for one in readings for note in one.image_notes]
    masks = [NotedFile(one.pair.mask.name, note) for one in readings for note in one.mask_notes]
    yield from describe_notes(images, "image", len(readings), channel)
    yield from describe_notes(masks, "mask", len(readings), channel)


def describe_notes(noted: Sequence[NotedFile], kind: Kind, files: int, channel: str) -> Iterator[Finding]:
    """The findings of some notes about `files` images or masks."""
    for name in _ORDER:
        if some := [one for one in noted if one.note.kind == name]:
            what, cure = _sentences(some, kind, files)
            severity: Literal["warning", "note"] = "warning" if name in ("pages", "band", "rounded") else "note"
            yield Finding(severity, channel, what, cure, tuple(one.name for one in some), len(some))


def _sentences(some: Sequence[NotedFile], kind: Kind, files: int) -> tuple[str, str]:
    """What is to be said of notes of one kind, and what to do."""
    example, note = some[0]
    which = f"{len(some)} {kind}{'s' * (files > 1)}" if len(some) == files else f"{len(some)} of {files} {kind}s"
    pixels = f"{sum(one.note.count for one in some):,} pixels"
    match note.kind:
        case "pages":
            return (
                f"{which} {'has' if len(some) == 1 else 'have'} several pages, slices or frames ({example} has "
                f"{note.count}): only the first is read, the others are dropped.",
                f"Save each slice as {'an image' if kind == 'image' else 'a mask'} of its own, and bands as samples of "
                "one page or as ImageJ's or OME's channels.",
            )
        case "band":
            return (
                f"band {note.count} of {which} looks like a band, not opacity, and is dropped ({example}).",
                f"Add --bands {note.detail} to the training to keep it.",
            )
        case "zero":
            return (
                f"the no-data tag (GDAL_NODATA) of {which} is 0 ({example}), but 0 is kept as a number of its own "
                f"({pixels}): class 0, unless a label map says otherwise.",
                "To ignore it, give a label map that names all pixel values but 0.",
            )
        case "no-data":
            numbers = dict.fromkeys(number for one in some for number in one.note.detail.split(", "))
            fate = "are ignored" if kind == "mask" else "become the mean of their band"
            may_be_class = kind == "mask" and any(number.isdecimal() for number in numbers)
            return (
                f"{pixels} in {which} hold no data ({', '.join(numbers)}; {example}) and {fate}.",
                "If such a number is a class, take the no-data tag away: gdal_edit.py -unsetnodata." * may_be_class,
            )
        case "rounded":
            return (
                f"{which} {'holds' if len(some) == 1 else 'hold'} whole numbers of more than 24 bits ({note.detail} in "
                f"{example}), which are rounded to float32.",
                "Where small differences between large numbers matter, subtract a constant from all images first.",
            )
