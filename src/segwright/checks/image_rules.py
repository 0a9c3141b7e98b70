"""Rules on pairs as they are read: what is left out, what readers drop or assume, formats and sizes."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

from segwright.checks.channel_statistics import ScannedChannel
from segwright.checks.scan import Unreadable, image_names
from segwright.data.pairs import Pairing
from segwright.findings import Finding, Severity
from segwright.formats.pixels import Note, NoteKind
from segwright.wording import counted, listed, printable, sentences

_NAMED: Final = 5
_ROTATED: Final = 5  # EXIF orientations from here on exchange width and height
_NOTES: Final[dict[NoteKind, tuple[Severity, str, str]]] = {
    "pages": (
        "warning",
        "{which} {have} several pages, slices or frames ({example} has {count}): only the first is read.",
        "Save each slice as a file of its own, and bands as samples of one page or as ImageJ's or OME's channels.",
    ),
    "band": (
        "warning",
        "band {count} of {which} looks like a band, not opacity, and is dropped ({example}).",
        "Train with bands {detail} to keep it.",
    ),
    "zero": (
        "note",
        "the no-data tag (GDAL_NODATA) of {which} is 0 ({example}), but 0 is kept as a number of its own ({pixels} "
        "pixels): class 0, unless a label map says otherwise.",
        "To ignore it, give a label map that names all pixel values but 0.",
    ),
    "no-data": (
        "note",
        "{pixels} pixels in {which} hold no data ({numbers}; {example}) and {fate}.",
        "If such a number is a class, take the no-data tag away: gdal_edit.py -unsetnodata.",
    ),
    "rounded": (
        "warning",
        "{which} {have} whole numbers of more than 24 bits ({detail} in {example}), which are rounded to float32.",
        "Where small differences between large numbers matter, subtract a constant from all images first.",
    ),
}
"""Severity, sentence and cure of each kind of note."""


class NotedFile(NamedTuple):
    """A note and the file that it is about."""

    name: str
    note: Note


def how_paired(pairing: Pairing, channel: str) -> Iterator[Finding]:
    """By which assumptions files were paired, and what lies beside them unread."""
    for assumption in pairing.assumed:
        yield Finding("pairing_assumed", "note", channel, f"{assumption}.")
    for unread in pairing.unread:
        yield Finding("unread_files", "warning", channel, f"{unread}.", unread.cure, unread.names)


def left_out_reasons(pairing: Pairing, unreadable: Sequence[Unreadable]) -> tuple[str, ...]:
    """A printable sentence for each file that is left out."""
    images = [f"{name} has no mask." for name in pairing.unpaired_images]
    masks = [f"{name} has no image." for name in pairing.unpaired_masks]
    return tuple(map(printable, (*(pair.why for pair in unreadable), *images, *masks)))


def left_out(
    pairing: Pairing, unreadable: Sequence[Unreadable], channel: str, *, none_left: bool, strict: bool
) -> Iterator[Finding]:
    """Files without a partner and pairs that cannot be read."""
    refused = any(pair.rule for pair in unreadable)  # by a rule of its own
    unreadable = [pair for pair in unreadable if not pair.rule]
    if not (reasons := left_out_reasons(pairing, unreadable)):
        return
    images, masks = pairing.unpaired_images, pairing.unpaired_masks
    kinds = (
        (len(unreadable), "pair cannot be read", "pairs cannot be read"),
        (len(images), "image has no mask", "images have no mask"),
        (len(masks), "mask has no image", "masks have no image"),
    )
    numbers = ", ".join(counted(*kind) for kind in kinds if kind[0])
    rule = "left_out"
    severity: Severity = "warning"
    what = f"{counted(len(reasons), 'file is', 'files are')} left out ({numbers})"
    if none_left and not refused:
        rule, severity, what = "none_readable", "error", f"none of the pairs can be read ({numbers})"
    elif strict:
        severity, what = "error", f"{what}, which strict refuses"
    cures = ("Add each partner under the same name, or remove what is alone.",) if images or masks else ()
    cure = " ".join(("Mend or remove what cannot be read.", *cures) if unreadable else cures)
    files = (*(pair.pair.image.name for pair in unreadable), *images, *masks)
    yield Finding(rule, severity, channel, f"{what}. {sentences(reasons, _NAMED)}", cure, files)


def repaired_masks(scans: ScannedChannel) -> Iterator[Finding]:
    """Masks whose indices and colours disagree with the colour map of their manifest."""
    if names := tuple(scan.pair.mask.name for scan in scans.scans if scan.repaired):
        which = f"in {len(names)} of {len(scans.scans)} masks"
        what = f"{which} indices and colours disagree with the colour map; the colours are taken"
        yield Finding("repaired_masks", "warning", scans.channel, f"{what}: {listed(names, 1)}.", "", names)


def dropped_or_assumed(scans: ScannedChannel) -> Iterator[Finding]:
    """What was dropped or assumed in the images and masks of a channel."""
    images = [NotedFile(scan.pair.image.name, note) for scan in scans.scans for note in scan.image_notes]
    masks = [NotedFile(scan.pair.mask.name, note) for scan in scans.scans for note in scan.mask_notes]
    yield from describe_notes(images, "image", len(scans.scans), scans.channel)
    yield from describe_notes(masks, "mask", len(scans.scans), scans.channel)


def describe_notes(
    noted: Sequence[NotedFile], kind: Literal["image", "mask"], files: int, channel: str
) -> Iterator[Finding]:
    """The findings of some notes about `files` images or masks: one for each kind of note."""
    for name, (severity, what, cure) in _NOTES.items():
        some = [one for one in noted if one.note.kind == name]
        if not some:
            continue
        example, note = some[0]
        which = f"{len(some)} of {files}" if len(some) < files else str(files)
        numbers = dict.fromkeys(number for one in some for number in one.note.detail.split(", "))
        if name == "no-data" and not (kind == "mask" and any(map(str.isdecimal, numbers))):
            cure = ""  # it cannot be a class
        words = {
            "which": f"{which} {kind}{'s' * (files > 1)}",
            "have": "has" if len(some) == 1 else "have",
            "example": example,
            "count": note.count,
            "detail": note.detail,
            "pixels": f"{sum(one.note.count for one in some):,}",
            "numbers": ", ".join(numbers),
            "fate": "are ignored" if kind == "mask" else "become the mean of their band",
        }
        names = tuple(one.name for one in some)
        rule = f"{kind}_{name}".replace("-", "_")
        yield Finding(rule, severity, channel, what.format(**words), cure.format(**words), names)


def one_format(scans: ScannedChannel) -> Iterator[Finding]:
    """Images that cannot be read in the requested format, and images of several formats."""
    if wrong := [scan for scan in scans.scans if scan.form_error]:
        what = sentences([scan.form_error for scan in wrong])
        yield Finding("pixel_format", "error", scans.channel, what, files=image_names(wrong))
        return
    examples: defaultdict[str, list[str]] = defaultdict(list)
    for scan in scans.scans:
        examples[str(scan.pixel_format)].append(scan.pair.image.name)
    if len(examples) > 1:
        formats = "; ".join(
            f"{counted(len(names), 'has', 'have')} {pixel_format} ({names[0]})"
            for pixel_format, names in examples.items()
        )
        what = f"the images are not of one kind: {formats}."
        cure = "A network takes one kind: convert them, or where they differ in bands only, set bands."
        files = tuple(names[0] for names in examples.values())
        yield Finding("one_format", "error", scans.channel, what, cure, files)


def sizes_match(scans: ScannedChannel) -> Iterator[Finding]:
    """Pairs whose image and mask are not of one size."""
    bad = [scan for scan in scans.scans if scan.image_size != scan.mask_size]
    if not bad:
        return
    sides = [[(scan.pair.image, scan.image_size), (scan.pair.mask, scan.mask_size)] for scan in bad]
    shown = [" and ".join(f"{blob.name} is {width}x{height}" for blob, (height, width) in both) for both in sides]
    cure = "Give both the same size, or remove the pair."
    exchanged = [scan for scan in bad if scan.image_size == scan.mask_size[::-1]]
    if rotated := [scan for scan in exchanged if scan.orientation >= _ROTATED]:
        cure = (
            f"{counted(len(rotated), 'pair')} would agree after a rotation that the camera noted (EXIF orientation "
            f"{rotated[0].orientation} in {rotated[0].pair.image.name}): set apply_exif_orientation to True, or turn "
            "the pixels themselves."
        )
    elif exchanged:
        cure += " Width and height are exchanged: one of the two was turned by 90 degrees."
    what = f"image and mask differ in size in {counted(len(bad), 'pair')}: {listed(shown, separator='; ')}."
    yield Finding("sizes_match", "error", scans.channel, what, cure, image_names(bad))
