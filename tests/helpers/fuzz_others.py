"""Seeds of the parsers outside of `formats` and `importers`, and how each is called."""

import gzip
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.exceptions import HTTPException

from segwright.data.class_tables import parse_class_table
from segwright.formats.images import encode_jpeg
from segwright.labels import LabelMap, parse_class_names
from segwright.mxnet.params_file import read_params
from segwright.serving.requests import Body
from segwright.storage import path_below
from tests.helpers.fuzzing import Target, parse_text
from tests.helpers.mxnet_params_writer import Layout, write_params

FOLDER = Path(tempfile.gettempdir())


def _params() -> list[bytes]:
    arrays: list[tuple[str, NDArray[Any]]] = [("conv1.0.weight", np.ones((2, 3, 1), np.float32)), ("b", np.ones(4))]
    layouts: tuple[Layout, ...] = ("V3", "V2")
    files = sorted((Path(__file__).parents[1] / "data" / "gluoncv").glob("*.params"))
    return [file.read_bytes() for file in files] + [write_params(arrays, layout) for layout in layouts]


def _parse_params(data: bytes) -> None:
    size = sum(array.values.nbytes for array in read_params(data, "hostile"))
    assert size <= 2 * len(data), f"{size} bytes of arrays in {len(data)}"


def _parse_name(data: bytes) -> None:
    name = data.decode("utf-8", "surrogateescape")
    below = path_below(FOLDER, name).resolve().relative_to(FOLDER.resolve())
    assert below.parts and str(below) == name


def _compressed() -> list[bytes]:
    """Each with the number of its coding in front."""
    plain = encode_jpeg(np.full((40, 56, 3), 99, np.uint8)) + bytes(2000)
    return [b"\0" + gzip.compress(plain) + gzip.compress(b"more"), b"\1" + zlib.compress(plain), b"\2" + plain]


def _inflate(data: bytes) -> None:
    codings = (("gzip",), ("deflate",), ("deflate", "gzip"))[data[0] % 3 if data else 0]
    with suppress(HTTPException):
        assert len(Body(data[1:], codings, 1 << 20).decoded()) < 1 << 20


OTHERS: dict[str, Target] = {
    "compressed bodies": Target(_compressed, _inflate),
    "MXNet .params": Target(_params, _parse_params),
    "names": Target(
        lambda: [b"a/b.png", "größe ö/..a/b..png".encode(), b"..a/..b/.c", b"images\\a.png"],
        _parse_name,
    ),
    "label map": Target(
        lambda: [
            b'{"map": {"0": 5, "1": [0, 7]}, "class_names": ["a", "b"]}',
            b'{"scale": "3"}',
            b"7 road\n8 sky # up\n",
        ],
        parse_text(LabelMap.parse),
    ),
    "class names": Target(lambda: ['["a", "ü", "c"]'.encode(), b"a\nb\n# c\n"], parse_text(parse_class_names)),
    "class table": Target(
        lambda: [b"Pixel Value, Class\n0, a\n1, b\n255, void\n", b'name,r,g,b,id\n"x, y",1,2,3,7\nz,1,2,4,0\n'],
        parse_text(parse_class_table),
    ),
}
