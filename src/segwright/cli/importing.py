"""The command import-data: its arguments and its help."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from segwright.cli.shared import Overwrite, app, split_list

logger = logging.getLogger(__name__)

_SINGLE = Group("Options of single formats", sort_key=2)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SplitFlags:
    """How pairs are divided."""

    validation: Annotated[
        float | None,
        Parameter(help="The share of pairs for validation; by default as the data set is divided, or else 0.2."),
    ] = None
    validation_list: Annotated[
        Path | None, Parameter(help="A text file that names the images for validation, one per line.")
    ] = None
    seed: Annotated[int, Parameter(help="The same seed draws the same pairs.")] = 0


@Parameter(name="*", group=_SINGLE)
@dataclass(frozen=True, kw_only=True)
class FormatFlags:
    """Options of single formats."""

    attributes: Annotated[
        str | None,
        Parameter(
            help="ground-truth: those of image, mask and, optionally, metadata: source-ref,label-ref. Else detected."
        ),
    ] = None
    images: Annotated[
        Path | None,
        Parameter(help="All formats but colours: the folder of images, which are found by path or name."),
    ] = None
    class_names: Annotated[
        Path | None, Parameter(help="labelme: the classes in order, one per line; by default all labels, sorted.")
    ] = None
    masks: Annotated[Path | None, Parameter(help="colours: the folder of colour masks.")] = None
    colours: Annotated[
        Path | None,
        Parameter(help="colours: the table, one class per line as 'road 128 64 128', or JSON; void is ignored."),
    ] = None
    rle_order: Annotated[
        Literal["columns", "rows"] | None,
        Parameter(help="rle-csv: whether pixels count down the columns or along the rows. Else detected."),
    ] = None


@app.command(sort_key=6, usage="Usage: segwright import-data FORMAT SOURCE --output DIR [OPTIONS]")
def import_data(
    kind: Annotated[
        Literal["ground-truth", "voc", "coco", "labelme", "cityscapes", "colours", "yolo", "label-studio", "rle-csv"],
        Parameter(
            name="FORMAT",
            help="ground-truth: an output manifest of SageMaker Ground Truth. voc: a folder with JPEGImages and "
            "SegmentationClass, and labelmap.txt if the classes are not VOC's. coco: an annotation file, or a folder "
            "with one or two. labelme: a folder of JSON files. cityscapes: a folder with leftImg8bit and gtFine. "
            "colours: a folder of images, with --masks and --colours. yolo: a data.yaml or its folder. label-studio: "
            "its export JSON or JSON-MIN. rle-csv: a table of run lengths, as Kaggle has them.",
        ),
    ],
    source: Annotated[str, Parameter(help="The data set: a folder or file; a manifest may be s3://...")],
    /,
    *,
    output: Annotated[Path, Parameter(help="The folder that receives train, validation, their masks and label_map.")],
    split: SplitFlags | None = None,
    labelled: Annotated[
        Literal["stored", "shown"] | None,
        Parameter(
            help="How images with an EXIF orientation were labelled: as stored, or as programs show them; by default "
            "as sizes and points prove, or else as usual for the format."
        ),
    ] = None,
    formats: FormatFlags | None = None,
    overwrite: Overwrite = False,
) -> None:
    """Convert another tool's data set to channel folders with label map and class names."""
    from segwright.importers import FormatOptions, SplitOptions
    from segwright.importers import import_data as run

    flags = vars(formats or FormatFlags())
    summary = run(
        kind,
        source,
        output,
        options=FormatOptions(**{**flags, "attributes": split_list(flags["attributes"])}),
        split=SplitOptions(**vars(split or SplitFlags())),
        labelled=labelled,
        overwrite=overwrite,
    )
    logger.info(
        f"{summary.train} pairs for training and {summary.validation} for validation, {summary.divided}; "
        f"{len(summary.class_names)} classes: {output}"
    )
