import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.formats.stacks import Stack, parse_stack

OME = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:1">{}</OME>'


def pixels(order: str, inside: str = "<TiffData/>", samples: int = 1, **sizes: int) -> str:
    attributes = " ".join(f'Size{axis}="{size}"' for axis, size in sizes.items())
    channel = f'<Channel ID="Channel:0:0" SamplesPerPixel="{samples}"/>'
    return OME.format(f'<Image><Pixels DimensionOrder="{order}" {attributes}>{channel}{inside}</Pixels></Image>')


@pytest.mark.parametrize(
    ("description", "stack"),
    [
        ("ImageJ=1.53t\nimages=12\nchannels=3\nslices=4\nhyperstack=true\nmin=0.5\n", Stack((0, 1, 2), 4)),
        ("ImageJ=1.53t\nimages=40\nslices=40\nunit=\\u00B5m", Stack((0,), 40)),
        ("ImageJ=1.53t\nunit=inch", Stack((0,), 1)),
        (pixels("XYCZT", C=3, Z=2, T=1), Stack((0, 1, 2), 2)),
        (pixels("XYZCT", C=3, Z=2, T=5), Stack((0, 2, 4), 10)),
        (pixels("XYZTC", C=3, Z=2, T=5), Stack((0, 10, 20), 10)),
        (pixels("XYCZT", samples=3, C=3, Z=7, T=1), Stack((0,), 7)),
        (
            pixels("XYCZT", '<TiffData FirstC="1" IFD="0"/><TiffData FirstC="0" IFD="1"/>', C=2, Z=1, T=1),
            Stack((1, 0), 1),
        ),
        ('{"shape": [3, 4, 64, 96], "axes": "ZCYX"}', Stack((0, 1, 2, 3), 3)),
        ('{"shape": [4, 3, 64, 96], "axes": "CZYX"}', Stack((0, 3, 6, 9), 3)),
    ],
)
def test_descriptions_of_microscopy_programs(description: str, stack: Stack) -> None:
    assert parse_stack(description) == stack


@pytest.mark.parametrize(
    "description",
    [
        "",
        "a holiday",
        '{"shape": [5, 64, 96]}',
        '{"shape": [64, 96, 3], "axes": "YXS"}',
        '{"shape": [1000000000, 4, 4], "axes": "CYX"}',
        "{",
        "[1]",
        '{"shape": "x", "axes": 3}',
        "ImageJ=1\nchannels=999999999",
        pixels("XYCZT", C=999999999),
        pixels("XYCZT", '<TiffData IFD="0"><UUID FileName="other.tif">urn:uuid:2</UUID></TiffData>', C=2, Z=1, T=1),
        pixels("XYZ", C=3),
        "<OME>",
        OME.format(""),
    ],
)
def test_what_says_nothing_of_channels(description: str) -> None:
    assert parse_stack(description) is None


@given(st.text(max_size=60), st.sampled_from(["ImageJ=", '{"shape": ', "<OME ", ""]))
def test_any_text_is_judged(text: str, start: str) -> None:
    parse_stack(start + text)
    parse_stack(start + text + "</OME>")
