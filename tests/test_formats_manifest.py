import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segwright.errors import DataError
from segwright.formats.manifest import (
    Attributes,
    ClassColour,
    ManifestLine,
    choose_attributes,
    colour_map,
    parse_object,
    read_manifest,
    resolve_reference,
)

BASE = Path("/data/street")

# As Ground Truth writes it.
METADATA: dict[str, Any] = {
    "internal-color-map": {
        "0": {"class-name": "BACKGROUND", "hex-color": "#ffffff", "confidence": 0.4},
        "12": {"class-name": "Straße", "hex-color": "#2CA02c", "confidence": 0.9},
        "255": {"class-name": "without colour"},
    },
    "type": "groundtruth/semantic-segmentation",
    "human-annotated": "yes",
    "creation-date": "2018-11-26T20:30:11.123456",
    "job-name": "labeling-job/road",
}


def lines(*names: str) -> list[ManifestLine]:
    """A line for each list of attribute names, which are separated by blanks."""
    return [ManifestLine(number, dict.fromkeys(each.split(), "a")) for number, each in enumerate(names, 1)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_lines_keep_their_numbers(start: bytes, end: bytes) -> None:
    separator = "\u2028"  # an end of line to some, not to JSON
    texts = ["", json.dumps({"source-ref": f"Straße{separator}1.jpg"}, ensure_ascii=False), "  ", "", '{"b": [1]}']
    data = start + end.join(text.encode() for text in texts)
    expected = [ManifestLine(2, {"source-ref": f"Straße{separator}1.jpg"}), ManifestLine(5, {"b": [1]})]
    assert read_manifest(data, "a.manifest") == expected
    assert read_manifest(data + end, "a.manifest") == expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "has no lines"),
        (b"\xef\xbb\xbf\r\n \n", "has no lines"),
        (b'{"a": 1}\n\n{"a": 1,}\n', r"line 3, is not valid JSON: .* at character \d of '{\"a\": 1,}'\. .*each line"),
        (b'{\n"a": 1\n}', "line 1, is not valid JSON: .* at character 2 of '{'"),
        (b'{"a": 1} {"a": 2}', "line 1, is not valid JSON: Extra data at character 10"),
        (b'{"a": 1}\n[1, 2]', r"line 2, is \[1, 2\], not a JSON object\. .*each line"),
        (b'{"a": 1}\n{"a": "\xe9"}', "line 2, is not UTF-8"),
        ('{"a": 1}'.encode("utf-16"), "line 1, is not UTF-8"),
        (b'{"a": ' + b"[" * 100_000, "line 1, is not valid JSON: "),
        (b'{"a": ' + b"9" * 10_000 + b"}", "line 1, is not valid JSON: "),
        (b'"' + b"x" * 10_000 + b'"', "line 1, is 'x{20,50}[.]{3}x{20,50}', not a JSON object"),
    ],
)
def test_a_line_that_is_no_object_is_named(data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"^a\.manifest(, | ){message}") as caught:
        read_manifest(data, "a.manifest")
    assert len(str(caught.value)) < 400


def test_one_object_is_read_alone() -> None:
    assert parse_object(b'{"a": {"b": 1}}', "train_0, record 2") == {"a": {"b": 1}}
    with pytest.raises(DataError, match=r"^train_0, record 2 is not valid JSON"):
        parse_object(b"\x89PNG".replace(b"\x89", b""), "train_0, record 2")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("source-ref road-ref", Attributes("source-ref", "road-ref")),
        ("road-ref source-ref", Attributes("source-ref", "road-ref")),
        (
            "source-ref road-ref road-ref-metadata id",
            Attributes("source-ref", "road-ref", "road-ref-metadata"),
        ),
        ("source-ref city-ref city-metadata", Attributes("source-ref", "city-ref", "city-metadata")),
        (
            "mask-ref-metadata mask-ref photo-ref",
            Attributes("photo-ref", "mask-ref", "mask-ref-metadata"),
        ),
        (
            "source-ref source-ref-metadata mask-ref",
            Attributes("source-ref", "mask-ref"),
        ),
    ],
)
def test_attributes_are_worked_out(names: str, expected: Attributes) -> None:
    assert choose_attributes(lines(names), None, "a.manifest") == expected


@pytest.mark.parametrize(
    "names",
    [
        "source-ref",
        "source-ref label label-metadata",
        "source-ref road-ref lane-ref",
        "source-ref road-ref road-ref-metadata lane-ref lane-ref-metadata",
        "photo-ref mask-ref",
        "photo-ref mask-ref photo-ref-metadata mask-ref-metadata",
        "image mask",
    ],
)
def test_what_cannot_be_worked_out_is_asked_for(names: str) -> None:
    listed = ", ".join(map(repr, names.split()))
    expected = rf"^a\.manifest .*it has {listed}\. Name the two, such as attributes source-ref,road-ref"
    with pytest.raises(DataError, match=expected):
        choose_attributes(lines(names), None, "a.manifest")


def test_attributes_that_are_given_are_image_mask_and_metadata() -> None:
    some = lines("a b c-ref", "c-ref b a")
    assert choose_attributes(some, ["b", "a"], "a.manifest") == Attributes("b", "a")
    assert choose_attributes(some, ["c-ref", "b", "a"], "a.manifest") == Attributes("c-ref", "b", "a")


@pytest.mark.parametrize("given", [[], ["a"], ["a", "b", "c", "d"], ["a", "a"], ["a", ""]])
def test_other_than_two_or_three_given_names_are_refused(given: list[str]) -> None:
    with pytest.raises(DataError, match="two or three different ones"):
        choose_attributes(lines("a b c d"), given, "a.manifest")


def test_a_line_that_lacks_an_attribute_is_named() -> None:
    some = lines("source-ref road-ref", "source-ref road-ref-metadata", "source-ref road-ref road-ref-metadata")
    message = r"^a\.manifest, line 2, has no attribute 'road-ref'; it has 'source-ref', 'road-ref-metadata'\."
    with pytest.raises(DataError, match=message):
        choose_attributes(some, None, "a.manifest")
    with pytest.raises(DataError, match=r"line 1, has no attribute 'road-ref-metadata'; it has"):
        choose_attributes(some, ["source-ref", "road-ref", "road-ref-metadata"], "a.manifest")
    assert choose_attributes(some[::2], None, "a.manifest").metadata == "road-ref-metadata"
    with pytest.raises(DataError, match=r"line 4, has no attribute 'source-ref'; it has none\."):
        choose_attributes([*some[:1], ManifestLine(4, {})], None, "a.manifest")


def test_a_message_lists_a_few_names() -> None:
    with pytest.raises(DataError, match=r"'name10', 'name11', and 9988 more\.") as caught:
        choose_attributes(lines(" ".join(f"name{n}" for n in range(10_000))), None, "a.manifest")
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("s3://bucket/a b/c%20d#1?.jpg", "s3://bucket/a b/c%20d#1?.jpg"),
        ("images/a b%20#1.jpg", BASE / "images/a b%20#1.jpg"),
        ("../a:b.jpg", BASE / "../a:b.jpg"),
        ("/mnt/a.jpg", Path("/mnt/a.jpg")),
        ("file:///mnt/a%20b%C3%9F.jpg", Path("/mnt/a bß.jpg")),
        ("file://localhost/mnt/a#b?.jpg", Path("/mnt/a#b?.jpg")),
        ("FILE:/mnt/a.jpg", Path("/mnt/a.jpg")),
        ("file.jpg", BASE / "file.jpg"),
    ],
)
def test_references(reference: str, expected: str | Path) -> None:
    assert resolve_reference(reference, BASE, "x") == expected


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (None, "is None; a reference is a text"),
        (3, "is 3; a reference is a text"),
        (["s3://bucket/a"], r"is \['s3://bucket/a'\]; a reference is a text"),
        ("", "is ''; a reference is a path"),
        ("s3://bucket", "s3://BUCKET/KEY"),
        ("s3://bucket/", "s3://BUCKET/KEY"),
        ("s3:///key", "s3://BUCKET/KEY"),
        ("https://example.org/a.jpg", "a reference is a path, a file:/// or an s3:// address"),
        ("file://server/a.jpg", "a reference is a path"),
        ("file:///", "a reference is a path"),
        ("a\0.jpg", "a reference is a path"),
        ("file:///a%00.jpg", "a reference is a path"),
        ("\ud800.jpg", r"is '\\ud800\.jpg'; a reference is a text"),
        ("s3://bucket/\udc80.jpg", "a reference is a text"),
    ],
)
def test_what_refers_to_nothing_is_refused(reference: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"^a\.manifest, line 3, source-ref is .*{message.removeprefix('is ')}"):
        resolve_reference(reference, BASE, "a.manifest, line 3, source-ref")


def test_the_colour_map_of_ground_truth() -> None:
    assert colour_map(METADATA, "x") == {
        0: ClassColour("BACKGROUND", (255, 255, 255)),
        12: ClassColour("Straße", (0x2C, 0xA0, 0x2C)),
        255: ClassColour("without colour", None),
    }
    assert colour_map({"type": "groundtruth/semantic-segmentation"}, "x") is None
    assert colour_map({"internal-color-map": {}}, "x") == {}


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ("text", "is 'text'; metadata are a JSON object"),
        ({"internal-color-map": []}, r"internal-color-map is \[\], not a JSON object"),
        ({"internal-color-map": {"256": {"class-name": "a"}}}, "has the key '256'; .* 0 to 255"),
        ({"internal-color-map": {"01": {"class-name": "a"}}}, "has the key '01'"),
        ({"internal-color-map": {"-1": {"class-name": "a"}}}, "has the key '-1'"),
        ({"internal-color-map": {"1": "road"}}, "internal-color-map, '1' is 'road', which has no class-name"),
        ({"internal-color-map": {"1": {"hex-color": "#000000"}}}, "'1' is {.*}, which has no class-name"),
        ({"internal-color-map": {"1": {"class-name": 3}}}, "which has no class-name"),
        ({"internal-color-map": {"1": {"class-name": "a", "hex-color": "red"}}}, "hex-color 'red'; .* #2ca02c"),
        ({"internal-color-map": {"1": {"class-name": "a", "hex-color": 0}}}, "hex-color 0; .* #2ca02c"),
    ],
)
def test_another_colour_map_is_refused(metadata: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"^train, record 2:? ?.*{message}"):
        colour_map(metadata, "train, record 2")


@settings(max_examples=300)
@given(
    edits=st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=6),
    length=st.integers(0, 2000),
)
def test_damaged_bytes_give_pairs_or_a_data_error(edits: list[tuple[int, int]], length: int) -> None:
    line = {"source-ref": "s3://bucket/a b.jpg", "road-ref": "file:///mnt/a%20b.png", "road-ref-metadata": METADATA}
    data = bytearray(f"{json.dumps(line)}\r\n".encode() * 2)
    for position, value in edits:
        data[position % len(data)] = value
    try:
        found = read_manifest(bytes(data[:length]), "damaged")
        attributes = choose_attributes(found, None, "damaged")
        for each in found:
            for name in (attributes.image, attributes.mask):
                assert isinstance(resolve_reference(each.attributes[name], BASE, "damaged"), str | Path)
            if attributes.metadata is not None and attributes.metadata in each.attributes:
                colour_map(each.attributes[attributes.metadata], "damaged")
    except DataError as error:
        assert "damaged" in str(error)
