"""The commands that put a model into use elsewhere: over HTTP, and in other runtimes.

Each imports what it calls when it runs, so that `--help` and a misspelt flag need no torch.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from segwright.cli.shared import Bundle, Device, Overwrite, Precision, Scale, Tta, app
from segwright.console import PACKAGE_LOGGER
from segwright.errors import UserError
from segwright.exported import ExportFormat
from segwright.formats.file_types import MAX_PIXELS
from segwright.precisions import ExportPrecision


@app.command(sort_key=3, usage="Usage: segwright serve BUNDLE [OPTIONS]")
def serve(
    bundle: Bundle,
    /,
    *,
    port: Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))] = 8080,
    host: str = "127.0.0.1",
    allow_origin: Annotated[list[str] | None, Parameter(metavar="ORIGIN", negative=())] = None,
    page: Annotated[bool, Parameter(show_default=False)] = True,
    access_log: Literal["text", "json", "errors"] = "text",
    metrics: bool = True,
    max_pixels: Annotated[int, Parameter(validator=validators.Number(gt=0))] = MAX_PIXELS,
    device: Device = None,
    precision: Precision = "auto",
    scale: Scale = None,
    tta: Tta = False,
) -> None:
    """Serve a trained model over HTTP like a SageMaker endpoint: POST an image to /invocations.

    Args:
        port: The port; 0 selects a free one.
        host: The address to listen on; 0.0.0.0 accepts other machines.
        allow_origin: Allow requests from web pages of this origin, such as https://app.example, or *; may be repeated.
        page: At / is a page to try the model in a browser; --no-page leaves it out.
        access_log: A line for each request: text among the messages, json on standard output, or errors alone.
        metrics: Whether there are metrics for Prometheus at /metrics.
        max_pixels: Refuse images of more pixels, with status 413.
    """
    try:
        from segwright.serving import COLOURED_MASK, ServingSettings
        from segwright.serving import serve as run
    except ModuleNotFoundError as error:
        if error.name not in ("prometheus_client", "starlette", "uvicorn"):
            raise
        raise UserError(f"serving needs the package {error.name}: pip install 'segwright[serve]'") from error

    settings = ServingSettings.from_environment(
        os.environ,
        COLOURED_MASK,
        host=host,
        port=port,
        allow_origin=allow_origin or (),
        page=page,
        access_log=access_log,
        metrics=metrics,
        max_pixels=max_pixels,
        device=device,
        precision=precision,
        scale=scale,
        tta=tta,
    )
    PACKAGE_LOGGER.setLevel(settings.log_level)
    run(bundle, settings)


@app.command(sort_key=3, usage="Usage: segwright export BUNDLE --format FORMAT [OPTIONS]")
def export(
    bundle: Annotated[Path, Parameter(name="BUNDLE")],
    /,
    *,
    format: ExportFormat,
    precision: ExportPrecision = "float32",
    calibrate: str | None = None,
    images: str | None = None,
    masks: str | None = None,
    max_fall: Annotated[float | None, Parameter(validator=validators.Number(gte=0))] = None,
    overwrite: Overwrite = False,
) -> None:
    """Write a trained model for other runtimes, into its folder export/FORMAT-PRECISION, and check it there.

    Args:
        bundle: A trained model: the folder that train or import-model wrote.
        format: ONNX for ONNX Runtime and many others, or OpenVINO, mostly the fastest on x86-64 processors.
        precision: The number format to compute in; int8 needs --calibrate, --images and --masks.
        calibrate: A folder of images like those that the model will see, which give int8 its ranges.
        images: Images, as for evaluate, to measure what the export costs in mean IoU.
        masks: The folder of their masks.
        max_fall: Write nothing where mean IoU falls by more points (hundredths); by default 0.5.
    """
    try:
        from segwright.export import export_bundle
    except ModuleNotFoundError as error:
        if error.name not in ("onnx", "onnxruntime", "onnxscript"):
            raise
        raise UserError(f"exporting needs the package {error.name}: pip install 'segwright[export]'") from error

    export_bundle(
        bundle,
        format,
        precision,
        calibrate=calibrate,
        images=images,
        masks=masks,
        max_fall=max_fall,
        overwrite=overwrite,
    )
