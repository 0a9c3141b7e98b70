import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segwright.errors import LabelError
from segwright.labels import IGNORE, LabelMap, read_class_names
from tests.helpers.label_maps import CLASS_NAMES, PIXEL_VALUES, label_maps, named_values

PIXELS = np.arange(256, dtype=np.uint8).reshape(16, 16)

Mask = NDArray[np.uint8] | NDArray[np.uint16]

# What a line of text can say: no line break, no comment, no number, no comma, bracket or byte order mark in front.
LINE_NAMES = CLASS_NAMES.filter(
    lambda name: not re.search(r"(^|\s)#|^[,\[\ufeff]", name) and len(name.splitlines()) == 1
)


def masks(label_map: LabelMap) -> st.SearchStrategy[Mask]:
    """8-bit and 16-bit masks, about half of whose pixels the map names."""
    named = [pixel for pixel, _ in label_map.values or ()] or [255]
    narrow = st.sampled_from([pixel for pixel in named if pixel < 256] or [255]) | st.integers(0, 255)
    shapes = hnp.array_shapes(min_dims=2, max_dims=2, max_side=8)
    return st.one_of(
        hnp.arrays(np.uint8, shapes, elements=narrow, fill=st.nothing()),
        hnp.arrays(np.uint16, shapes, elements=st.sampled_from(named) | PIXEL_VALUES, fill=st.nothing()),
    )


def class_of(pixel: int, label_map: LabelMap) -> int:
    """What the documentation says of a single pixel."""
    if label_map.scale is None:
        return dict(label_map.values or ()).get(pixel, IGNORE)
    return IGNORE if pixel == 255 else min(pixel // label_map.scale, 254)


def written(tmp_path: Path, name: str, content: str) -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def applied(label_map: LabelMap, *pixels: int) -> list[int]:
    mask: NDArray[Any] = np.array([pixels], np.uint8 if max(pixels) < 256 else np.uint16)
    return [int(index) for index in label_map.apply(mask)[0]]


def test_the_identity_keeps_classes_and_ignores_255() -> None:
    assert LabelMap.identity().to_json() == {"scale": 1}
    assert applied(LabelMap.identity(), 0, 1, 253, 255) == [0, 1, 253, IGNORE]


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"scale": 1}, "pixel values are class indices"),
        ({"scale": 63}, "the class is the pixel value divided by 63, rounded down"),
        ({"map": {"0": [0, 7], "1": 255}}, "pixel value 0 is class 0, 7 is class 0, 255 is class 1"),
        ({"map": {"1": 9}, "class_names": ["background", "vessel"]}, "pixel value 9 is vessel"),
        ({"map": {str(index): index for index in range(14)}}, ", 11 is class 11, and 2 more"),
    ],
)
def test_a_label_map_is_shown_in_words(document: dict[str, Any], words: str) -> None:
    assert str(LabelMap.from_json(document)).endswith(words)


def test_a_scale_divides_and_rounds_down_as_documented_by_sagemaker() -> None:
    assert applied(LabelMap.from_json({"scale": "3"}), 0, 3, 6, 8, 255) == [0, 1, 2, 2, IGNORE]


def test_a_scale_never_wraps_a_large_value_into_a_class() -> None:
    assert applied(LabelMap.identity(), 254, 256, 511, 65535) == [254, 254, 254, 254]
    assert applied(LabelMap(scale=256), 256, 65535, 255) == [1, 254, IGNORE]


def test_the_keys_of_a_map_are_classes_and_its_values_are_pixels() -> None:
    document = {"map": {"0": 5, "1": 0, "2": 2}}
    documented = LabelMap.from_json(document)
    assert documented.to_json() == document
    assert applied(documented, 5, 0, 2) == [0, 1, 2]


def test_several_pixel_values_share_a_class_and_the_rest_is_ignored() -> None:
    label_map = LabelMap.from_json({"map": {"0": [1, "2"], "3": 7}})
    assert applied(label_map, 1, 2, 7, 0, 255) == [0, 0, 3, IGNORE, IGNORE]
    assert label_map.class_count() == 4
    assert label_map.unmapped(np.array([0, 1, 7, 255, 300])).tolist() == [0, 300]


def test_255_is_a_class_where_the_map_says_so() -> None:
    label_map = LabelMap.from_json({"map": {"0": 0, "1": 255}})
    assert applied(label_map, 0, 255, 7) == [0, 1, IGNORE]
    assert label_map.unmapped(np.array([0, 255])).tolist() == []


def test_16_bit_values_can_be_mapped() -> None:
    assert applied(LabelMap(values=((65535, 1), (1000, 0))), 1000, 65535, 999) == [0, 1, IGNORE]


def test_a_scale_leaves_nothing_unmapped_and_implies_no_number_of_classes() -> None:
    assert LabelMap.identity().unmapped(np.arange(5)).tolist() == []
    assert LabelMap.identity().class_count() is None


@given(st.data(), label_maps())
def test_a_map_does_to_each_pixel_what_it_says(data: st.DataObject, label_map: LabelMap) -> None:
    mask = data.draw(masks(label_map))
    expected = [[class_of(int(pixel), label_map) for pixel in row] for row in mask]
    classes = label_map.apply(mask)
    assert classes.dtype == np.uint8 and classes.tolist() == expected
    left_out = [int(pixel) for pixel in mask.flat if class_of(int(pixel), label_map) == IGNORE and pixel != 255]
    assert label_map.unmapped(mask.ravel()).tolist() == left_out


@given(label_maps())
def test_a_map_survives_json(label_map: LabelMap) -> None:
    document = label_map.to_json()
    again = LabelMap.from_json(json.loads(json.dumps(document)))
    assert again.to_json() == document
    assert (again.scale, again.class_names) == (label_map.scale, label_map.class_names)
    assert sorted(again.values or ()) == sorted(label_map.values or ())


@given(st.data(), st.lists(LINE_NAMES.filter(lambda name: not name.isdecimal()), min_size=1, max_size=9, unique=True))
def test_the_text_form_says_what_the_json_form_says(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, names: list[str]
) -> None:
    values = data.draw(named_values(names))
    gaps = st.sampled_from([" ", "\t", ", ", ",", " , ", "  "])
    rests = st.sampled_from(["", "  ", " # a remark", "\n", "\n# 7 a remark\n"])
    path = tmp_path_factory.getbasetemp() / "any.txt"

    def read(classes: Sequence[object]) -> LabelMap:
        lines = [f"{pixel}{data.draw(gaps)}{classes[index]}{data.draw(rests)}\n" for pixel, index in values.items()]
        path.write_text("".join(lines), encoding="utf-8")
        return LabelMap.read(path)

    pixels: dict[str, list[int | str]] = {}
    for pixel, index in values.items():
        pixels.setdefault(str(index), []).append(str(pixel) if data.draw(st.booleans()) else pixel)
    json_form = LabelMap.from_json({"map": {index: each if each[1:] else each[0] for index, each in pixels.items()}})
    assert dict(read(range(254)).values or ()) == dict(json_form.values or ()) == values
    assert dict(read(names).numbered_as(names).values or ()) == values


@given(st.lists(LINE_NAMES, min_size=1, max_size=9, unique=True))
def test_class_names_are_the_same_in_lines_and_in_json(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any_names.txt"
    for content in ("\n# a remark\n".join(names), json.dumps(names), json.dumps(names, ensure_ascii=False)):
        path.write_text(content, encoding="utf-8")
        assert read_class_names(path) == tuple(names)


def test_a_mask_may_be_a_view() -> None:
    assert np.array_equal(LabelMap.identity().apply(PIXELS[::2, 1::3]), PIXELS[::2, 1::3])


def test_applying_a_map_leaves_the_mask_alone() -> None:
    for label_map in (LabelMap.identity(), LabelMap(scale=3), LabelMap(values=((7, 1), (8, 255 - 2)))):
        mask = PIXELS.copy()
        mask.flags.writeable = False
        label_map.apply(mask)
        assert np.array_equal(mask, PIXELS)


def test_a_mask_that_needs_no_map_is_not_copied() -> None:
    mask = PIXELS.copy()
    assert LabelMap.identity().apply(mask) is mask
    assert LabelMap.identity().apply(mask.astype(np.uint16)).dtype == np.uint8


def test_text_maps_number_names_by_first_appearance(tmp_path: Path) -> None:
    path = written(tmp_path, "map.txt", "# value, class\n10 road\n\n0  sky dome # above\n30, road\n")
    label_map = LabelMap.read(path)
    assert label_map.class_names == ("road", "sky dome")
    assert applied(label_map, 10, 0, 30, 20) == [0, 1, 0, IGNORE]
    assert LabelMap.from_json(label_map.to_json()).class_names == ("road", "sky dome")


def test_text_maps_take_class_indices(tmp_path: Path) -> None:
    label_map = LabelMap.read(written(tmp_path, "map.txt", "\ufeff0 0\n255 1\n"))
    assert label_map.class_names is None
    assert applied(label_map, 0, 255) == [0, 1]


def test_names_are_renumbered_to_the_order_of_others(tmp_path: Path) -> None:
    label_map = LabelMap.read(written(tmp_path, "map.txt", "10 road\n0 sky\n30 road\n"))
    renumbered = label_map.numbered_as(["sky", "tree", "road"])
    assert applied(renumbered, 10, 0, 30, 20) == [2, 0, 2, IGNORE]
    assert renumbered.class_names == ("sky", "tree", "road")
    assert renumbered.numbered_as(["sky", "tree", "road"]) == renumbered


@pytest.mark.parametrize("label_map", [LabelMap(scale=3), LabelMap(values=((0, 5), (9, 1)))])
def test_maps_without_names_keep_their_numbers(label_map: LabelMap) -> None:
    assert label_map.numbered_as(["sky", "road"]) == label_map


@given(st.data(), st.lists(CLASS_NAMES, min_size=2, max_size=9, unique=True))
def test_a_pixel_value_keeps_the_name_of_its_class_in_any_order(data: st.DataObject, names: list[str]) -> None:
    own = tuple(data.draw(st.permutations(names))[: data.draw(st.integers(1, len(names)))])
    values = data.draw(named_values(own))
    renumbered = LabelMap(values=tuple(values.items()), class_names=own).numbered_as(names)
    assert renumbered.class_names == tuple(names)
    assert [(pixel, names[index]) for pixel, index in renumbered.values or ()] == [
        (pixel, own[index]) for pixel, index in values.items()
    ]


@pytest.mark.parametrize(
    ("name", "guess"),
    [("rode", 'Did you mean "road"?'), ("SKY", 'Did you mean "sky"?'), ("submarine", "are sky, road. Use")],
)
def test_names_that_are_not_among_the_classes_are_refused_with_the_nearest(name: str, guess: str) -> None:
    with pytest.raises(LabelError) as caught:
        LabelMap(values=((0, 0),), class_names=(name,)).numbered_as(["sky", "road"])
    assert f'names a class "{name}", but the classes are sky, road.' in str(caught.value)
    assert guess in str(caught.value)


def test_a_scale_cannot_be_renumbered() -> None:
    label_map = LabelMap(scale=2, class_names=("sky", "road"))
    assert label_map.numbered_as(["sky", "road", "tree"]).class_names == ("sky", "road", "tree")
    with pytest.raises(LabelError, match="a scale and the class names sky, road, but the classes are road, sky"):
        label_map.numbered_as(["road", "sky"])


def test_a_list_of_names_too_short_for_the_classes_is_refused() -> None:
    with pytest.raises(LabelError, match="pixel value 9 into class 2, but has class names only for the classes 0 to 1"):
        LabelMap.from_json({"map": {"0": 0, "2": 9}, "class_names": ["sky", "road"]})


def test_json_is_known_by_its_content_too(tmp_path: Path) -> None:
    assert LabelMap.read(written(tmp_path, "map.txt", ' {"scale": 2}')).scale == 2


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('{"scale": 0}', "the scale of a label map is 0"),
        ('{"scale": true}', "the scale of a label map is true"),
        ('{"scale": 1.5}', "the scale of a label map is 1.5"),
        ('{"scale": 1, "map": {"0": 0}}', "and not both"),
        ("{}", "and not both"),
        ('{"skale": 1}', "a label map is"),
        ("[1]", "a label map is"),
        ('{"map": {}}', "names no pixel value"),
        ('{"map": [0, 1]}', "must be an object"),
        ('{"map": {"road": 1}}', '"road"; it must be a whole number from 0 to 253'),
        ('{"map": {"255": 1}}', "leave out what is to be ignored"),
        ('{"map": {"0": -1}}', "a pixel value of class 0 is -1"),
        ('{"map": {"0": 65536}}', "from 0 to 65535"),
        ('{"map": {"0": 5, "1": [4, 5]}}', "pixel value 5 is mapped twice"),
        ('{"map": {"0": 5, "0": 6}}', '"0" occurs twice'),
        ('{"map": {"0": ' + "9" * 5000 + "}}", "not valid JSON"),
        ('{"map": ', "not valid JSON: Expecting value: line 1 column 9"),
    ],
)
def test_bad_json_maps_are_refused_with_file_and_place(tmp_path: Path, content: str, complaint: str) -> None:
    path = written(tmp_path, "map.json", content)
    with pytest.raises(LabelError) as caught:
        LabelMap.read(path)
    assert complaint in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("0 sky\nroad 1\n", "line 2 is 'road 1'"),
        ("0\n", "line 1 is '0'"),
        ("# nothing\n", "names no pixel value"),
        ("0 sky\n0 road\n", "pixel value 0 is mapped twice"),
        ("7 255\n", "leave out what is to be ignored"),
        ("70000 1\n", "from 0 to 65535"),
        ("7 3\n8 4\n# names\n9 road\n", "line 4, '9 road', gives the class as a name, but line 1, '7 3', as an index"),
        ("8 road\n7 3\n", "line 2, '7 3', gives the class as an index, but line 1, '8 road', as a name"),
    ],
)
def test_bad_text_maps_are_refused(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(LabelError, match=r"map\.txt: ") as caught:
        LabelMap.read(written(tmp_path, "map.txt", content))
    assert complaint in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="absent\\.json cannot be read: No such file"):
        LabelMap.read(tmp_path / "absent.json")
    picture = tmp_path / "picture.txt"
    picture.write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(LabelError, match="not UTF-8"):
        read_class_names(picture)


def test_a_map_beyond_the_classes_of_the_network_is_refused() -> None:
    label_map = LabelMap(values=((0, 0), (9, 4)))
    label_map.check(5)
    with pytest.raises(LabelError, match="pixel value 9 into class 4; num_classes is 4"):
        label_map.check(4)
    LabelMap.identity().check(2)


def test_class_names_come_from_lines_or_json(tmp_path: Path) -> None:
    lines = written(tmp_path, "names.txt", "# order of the classes\nsky\n\nroad #2\nC#\n")
    assert read_class_names(lines) == ("sky", "road", "C#")
    assert read_class_names(written(tmp_path, "names.json", '["sky", "road "]')) == ("sky", "road")
    assert read_class_names(written(tmp_path, "names.txt", ' [ "sky"]')) == ("sky",)
    assert read_class_names(written(tmp_path, "names.txt", "[unlabelled]\nroad")) == ("[unlabelled]", "road")
    with pytest.raises(LabelError, match="lone surrogate"):
        read_class_names(written(tmp_path, "names.json", '["\\ud800"]'))


@pytest.mark.parametrize(
    "content", ["", "sky\nsky\n", '["sky", "sky"]', '["sky", ""]', '["sky", 1]', '["sky"', "x\n" * 255]
)
def test_bad_class_names_are_refused(tmp_path: Path, content: str) -> None:
    with pytest.raises(LabelError, match="names"):
        read_class_names(written(tmp_path, "names.txt", content))
