import os
import string
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Collection
from pathlib import PurePosixPath
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from segwright.data import matching
from segwright.data.matching import Match, Name
from segwright.errors import DataError

IMAGES, MASKS = (".jpg", ".png", ".tif"), (".png", ".tif", ".gif")
COUNT = 12


def name(path: str) -> Name:
    pure = PurePosixPath(path)
    folder = "" if str(pure.parent) == "." else str(pure.parent)
    return Name(folder, pure.name.removesuffix(pure.suffix), pure.suffix)


def match_names(images: list[Name], masks: list[Name]) -> Match:
    """Names in two folders; the numbers of masks begin with 0."""
    count = len(images)
    match = matching.match_names([*images, *masks], range(count), range(count, count + len(masks)))
    return Match(tuple((image, mask - count) for image, mask in match.pairs), match.assumed)


def match_in_one_folder(files: list[Name], image_endings: Collection[str], mask_endings: Collection[str]) -> Match:
    images, masks = (
        [number for number, one in enumerate(files) if one.ending in endings]
        for endings in (image_endings, mask_endings)
    )
    return matching.match_names(files, images, masks)


def drawn(*patterns: str) -> list[Name]:
    """Names by patterns; # is a running number and ## one of fixed width."""
    return [
        name(pattern.replace("##", f"{number:03}").replace("#", str(number)))
        for pattern in patterns
        for number in range(COUNT)
    ]


@pytest.mark.parametrize(
    ("image", "mask", "told"),
    [
        ("s#.jpg", "s#.png", ""),
        ("s#.jpg", "s#_mask.png", 'masks are named as their images plus "_mask"'),
        ("s#.jpg", "s#-seg.png", 'images plus "-seg"'),
        ("s#.jpg", "s#_gt.png", 'images plus "_gt"'),
        ("s#.jpg", "mask_s#.png", 'images plus "mask_"'),
        ("s#.jpg", "s#_anything.png", 'images plus "_anything"'),
        ("##.jpg", "##_L.png", 'images plus "_L"'),
        ("##.jpg", "##L.png", 'images plus "L"'),
        ("cat#.jpg", "cat#mask.png", 'images plus "mask"'),
        ("##.jpg", "##_0.png", 'images plus "_0"'),
        ("IMG_#.JPG", "img_#.png", "letter case and Unicode form of names are passed over"),
        ("IMG_#.JPG", "img_#_labelIds.png", 'images plus "_labelIds"'),
        ("s#.jpg", "s#.jpg.png", "masks are named as their images, ending included (12 pairs"),
        ("s#.jpg", "s#.jpg.mask.png", 'ending included, plus ".mask"'),
        ("s#.jpg", "s#.jpg___fuse.png", 'ending included, plus "___fuse"'),
        ("image_##.jpg", "mask_##.png", 'without "image" in images and "mask" in masks'),
        ("img_##.jpg", "lbl_##.png", 'without "img" in images and "lbl" in masks'),
        ("##_img.jpg", "##_seg.png", 'without "img" in images and "seg" in masks'),
        ("img_##.jpg", "##_mask.png", 'without "img_" in images and "_mask" in masks'),
        ("foto##.jpg", "maske##.png", 'without "foto" in images and "maske" in masks'),
        ("town_rgb_##.png", "town_seg_##.png", 'without "rgb" in images and "seg" in masks'),
        ("##_training.tif", "##_manual1.gif", 'and "manual1" in masks'),
        ("##_rgb.jpg", "##.png", 'images are named as their masks plus "_rgb"'),
        ("a_##_leftImg8bit.png", "a_##_gtFine_labelIds.png", 'and "gtFine_labelIds" in masks'),
        ("images/##.jpg", "masks/##.png", "files in sub-folders of different names"),
        ("p#/images/1.jpg", "p#/masks/1_mask.png", "files in sub-folders of different names"),
        ("leftImg8bit/t/c#/x_leftImg8bit.png", "gtFine/t/c#/x_gtFine_labelTrainIds.png", "labelTrainIds"),
    ],
)
def test_one_word_explains_all_masks(image: str, mask: str, told: str) -> None:
    images, masks = drawn(image), drawn(mask)
    match = match_names(images, masks)
    assert match.pairs == tuple((number, number) for number in range(COUNT))
    assert told in ", ".join(match.assumed) and bool(told) == bool(match.assumed)
    if told:
        assert f"({COUNT} pairs, for example {images[0]} with {masks[0]})" in match.assumed[0]


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("p1_##.jpg", "p2_##.png"),  # other patients
        ("day_##.jpg", "night_##.png"),
        ("x##.jpg", "y##.png"),
        ("p1/##.jpg", "p2/##.png"),
        ("p1/##.jpg", "p2/##_mask.png"),
        ("class1/##.jpg", "class2/##.png"),
        ("s#.jpg", "s1#_mask.png"),
    ],
)
def test_names_that_tell_different_things_never_pair(image: str, mask: str) -> None:
    images, masks = drawn(image), drawn(mask)
    for one, other in match_names(images, masks).pairs:
        assert images[one].stem == masks[other].stem.removesuffix("_mask")
        assert images[one].folder == masks[other].folder


def test_what_lies_beside_the_masks_is_left_over() -> None:
    for others in ("##_vis.png", "##_color.png", "##_overlay.png"):
        assert match_names(drawn("##.jpg"), drawn("##_mask.png", others)).pairs == tuple(
            (number, number) for number in range(COUNT)
        )


@pytest.mark.parametrize(
    "masks", [("##_car.png", "##_tree.png"), ("##_mask.png", "##_mask_1.png"), ("##_mask.png", "##_label.png")]
)
def test_several_masks_of_an_image_are_refused_by_name(masks: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"12 images have several masks: 000\.jpg has 000_\w+\.png and 000_\w+\.png"):
        match_names(drawn("##.jpg"), drawn(*masks))


def test_a_second_mask_of_a_single_image_is_refused_in_two_folders_and_in_one() -> None:
    images, masks = drawn("##.jpg"), [*drawn("##_mask.png"), name("003_mask_1.png")]
    told = r"1 image has several masks: 003\.jpg has 003_mask\.png and 003_mask_1\.png"
    with pytest.raises(DataError, match=told):
        match_names(images, masks)
    with pytest.raises(DataError, match=told):
        match_in_one_folder([*images, *masks], IMAGES, MASKS)
    with pytest.raises(DataError, match=r"1 image has several masks: 003\.png has"):
        match_in_one_folder([*drawn("##.png"), *masks], IMAGES, MASKS)


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        (["frame_1.0_rgb.jpg"], ["frame_1.1_seg.png"]),
        (["img_night_road.jpg", "img_day_lake.jpg"], ["road_cellMask.png", "A_dayMask.png"]),
        (["night.jpg", "night_A.jpg", "night_B_A.jpg"], ["night_A_1.png", "night_1.png"]),
        (["p1/site (2).jpg", "p2/site (2).jpg"], ["p1/seg.site (1).png", "p2/seg.site (1).png"]),
    ],
)
def test_what_tells_one_image_from_the_next_is_no_word(images: list[str], masks: list[str]) -> None:
    assert match_names([*map(name, images)], [*map(name, masks)]).pairs == ()


def test_the_masks_of_classes_are_found_among_those_of_cityscapes() -> None:
    images = drawn("a_##_000019_leftImg8bit.png")[:5]
    masks = [drawn(f"a_##_000019_gtFine_{kind}.png")[:5] for kind in ("color", "instanceIds", "labelIds")]
    assert match_names(images, [*masks[0], *masks[1], *masks[2]]).pairs == tuple((n, 10 + n) for n in range(5))
    with pytest.raises(DataError, match=r"5 images have several masks: .* and a_000_000019_gtFine_labelTrainIds\.png"):
        match_names(images, [*masks[0], *masks[2], *drawn("a_##_000019_gtFine_labelTrainIds.png")[:5]])


def test_masks_named_in_two_ways_are_refused() -> None:
    masks = [name(f"{number}_{'mask' if number % 2 else 'label'}.png") for number in range(10)]
    with pytest.raises(DataError, match=r'several ways, .*"_mask" \(5\)'):
        match_names([name(f"{number}.jpg") for number in range(10)], masks)


def test_equal_names_come_first_and_the_rest_by_a_word_that_says_mask() -> None:
    images = drawn("##.jpg")
    masks = [name(f"{number:03}{'' if number < 8 else '_mask'}.png") for number in range(COUNT)]
    match = match_names(images, masks)
    assert match.pairs == tuple((number, number) for number in range(COUNT))
    assert match.assumed[0].startswith('masks are named as their images plus "_mask" (4 pairs')
    other = [name(f"{number:03}{'' if number < 8 else '_old'}.png") for number in range(COUNT)]
    assert len(match_names(images, other).pairs) == 8


def test_an_unknown_word_explains_nearly_all_masks_and_in_one_folder_those_of_most_images() -> None:
    images, masks = drawn("##.jpg"), drawn("##_L.png")
    assert len(match_names(images, [*masks[:11], name("lonely_L.png")]).pairs) == 11
    assert match_names(images, [*masks[:10], name("lonely_L.png"), name("alone_L.png")]).pairs == ()
    assert len(match_in_one_folder([*images, *masks[:9]], IMAGES, MASKS).pairs) == 9
    assert match_in_one_folder([*images, *masks[:8]], IMAGES, MASKS).pairs == ()
    others = drawn("##_a.jpg", "##_b.jpg")
    assert len(match_in_one_folder([*drawn("##_rgb.jpg"), *masks, *others], IMAGES, MASKS).pairs) == COUNT


def test_what_lies_beside_the_images_does_not_replace_equal_names() -> None:
    images = drawn("##.jpg", "##_color.jpg", "##_depth.jpg")
    assert match_names(images[3:], drawn("##.png")).pairs == tuple((n - 3, n) for n in range(3, COUNT))


def test_words_that_tell_cameras_apart_belong_to_the_names() -> None:
    images, masks = drawn("##_left_rgb.png"), drawn("##_left_seg.png", "##_right_seg.png")
    assert match_names(images, masks).pairs == tuple((n, n) for n in range(COUNT))


def test_a_number_that_tells_one_image_from_the_next_is_no_word_of_its_mask() -> None:
    images = [name("1.jpg"), name("2.jpg")]
    assert match_names(images, [name("2_manual1.png")]).pairs == ((1, 0),)


def test_one_likely_word_does_not_hide_an_unknown_one_of_all_files() -> None:
    files = [*drawn("##.jpg", "##_1stHO.png"), name("scan.jpg"), name("scan_1stHO.png"), name("label_sat_1stHO.png")]
    assert len(match_in_one_folder(files, IMAGES, MASKS).pairs) == COUNT + 1


def test_pairs_do_not_depend_on_the_hashes_of_a_process() -> None:
    program = (
        "from segwright.data.matching import Name, match_names\n"
        "names = [Name('', f'a{n}{word}', '.png') for word in ('_flair', '_2ndHO', '_ann') for n in range(2)]\n"
        "print(match_names(names, range(4), range(4, 6)))"
    )
    outputs = {
        subprocess.check_output([sys.executable, "-c", program], env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in "12"
    }
    assert len(outputs) == 1


def test_a_second_mask_beside_one_of_the_same_name_is_refused() -> None:
    for files in (drawn("##.jpg"), [*drawn("##.jpg"), name("other.jpg")]):
        with pytest.raises(DataError, match=r"1 image has several masks: 003\.jpg has 003\.png and 003_mask\.png"):
            match_names(files, [*drawn("##.png"), name("003_mask.png")])


def test_equal_names_by_chance_do_not_hide_the_word() -> None:
    images, masks = [name("a.jpg"), name("a_x.jpg")], [name("a_x.png"), name("a_x_x.png")]
    assert match_names(images, masks).pairs == ((0, 0), (1, 1))
    with_masks = drawn("##.png", "##_mask.png")
    assert match_names(with_masks, drawn("##_mask.png")).pairs == tuple((number, number) for number in range(COUNT))


def test_unlabelled_images_do_not_matter() -> None:
    images = drawn("##.jpg", "a##.jpg", "b##.jpg")
    assert len(match_names(images, drawn("##_mask.png")).pairs) == COUNT
    assert len(match_names(images, drawn("##.png")).pairs) == COUNT


def test_left_over_names_of_other_folders_do_not_pair() -> None:
    images, masks = drawn("p1/##.jpg", "p2/##.jpg"), drawn("p1/##.png", "p2/##.png")
    del images[COUNT : COUNT + 3], masks[:3]
    match = match_names(images, masks)
    assert len(match.pairs) == 2 * COUNT - 6 and not match.assumed
    assert all(images[one].folder == masks[other].folder for one, other in match.pairs)


def test_names_of_their_own_pair_across_folders_where_all_do() -> None:
    images = [name(f"batch{i % 2}/{stem}.jpg") for i, stem in enumerate(("3fa9", "b07c", "9e1d"))]
    masks = [name(f"job-77/{stem}.png") for stem in ("9e1d", "3fa9", "b07c")]
    match = match_names(images, masks)
    assert match.pairs == ((0, 1), (1, 2), (2, 0))
    assert "(3 pairs, for example batch0/3fa9.jpg with job-77/3fa9.png)" in match.assumed[0]
    assert match_names(images, masks[:2]).pairs == ()


def test_a_flat_side_pairs_with_unique_names_in_sub_folders() -> None:
    images = [name("p1/1.jpg"), name("p1/2.jpg"), name("p2/2.jpg"), name("p2/3.jpg")]
    match = match_names(images, [name("1.png"), name("2.png"), name("3.png")])
    assert match.pairs == ((0, 0), (3, 2)) and "(2 pairs, for example p1/1.jpg with 1.png)" in match.assumed[0]


@pytest.mark.parametrize(
    ("patterns", "told"),
    [
        (("s#_jpg.rf.0a#.jpg", "s#_jpg.rf.0a#_mask.png"), 'plus "_mask"'),
        (("s#.png", "s#_mask.png"), 'plus "_mask"'),
        (("s#.tif", "s#_cp_masks.png", "s#_cp_outlines.png"), 'plus "_cp_masks"'),
        (("s#.jpg", "s#_anything.png"), 'plus "_anything"'),
        (("s#.jpg", "s#.png"), "masks are named as their images (12 pairs"),
        (("s#.jpg", "s#.jpg.png"), "ending included"),
        (("plant##_rgb.png", "plant##_label.png", "plant##_fg.png"), 'without "rgb" in images and "label" in masks'),
        (("images/s#.png", "masks/s#.png"), "sub-folders of different names"),
        (("face_mask_#.png", "face_mask_#_mask.png"), 'plus "_mask"'),
    ],
)
def test_images_and_masks_side_by_side(patterns: tuple[str, ...], told: str) -> None:
    match = match_in_one_folder(drawn(*patterns), IMAGES, MASKS)
    assert match.pairs == tuple((number, COUNT + number) for number in range(COUNT))
    assert told in match.assumed[0]


@pytest.mark.parametrize(
    "patterns",
    [("a#.png",), ("a#.png", "a#_flip.png"), ("a#.jpg",), ("a#.png", "a# (1).png"), ("p1/#.png", "p2/#.png")],
)
def test_images_without_masks_do_not_pair_with_each_other(patterns: tuple[str, ...]) -> None:
    assert match_in_one_folder(drawn(*patterns), IMAGES, MASKS).pairs == ()


def test_a_image_with_mask_in_its_name_does_not_hide_the_word_of_the_others() -> None:
    cores = [*(f"c{number}" for number in range(20)), "mask_c1", "lake_mask_c2"]
    files = [name(pattern.format(core)) for pattern in ("{}_img.png", "GT_{}.png") for core in cores]
    right = tuple((number, len(cores) + number) for number in range(len(cores)))
    assert match_in_one_folder(files, IMAGES, MASKS).pairs == right
    strange = [name(f"{core}{end}.png") for core in cores if core != "mask_c1" for end in ("_x", "_out")]
    assert match_in_one_folder(strange, IMAGES, MASKS).pairs == ()


def test_turned_copies_have_their_own_masks() -> None:
    files = drawn("a#.png", "a#_flip.png", "a#_mask.png", "a#_flip_mask.png")
    assert match_in_one_folder(files, IMAGES, MASKS).pairs == tuple((n, 2 * COUNT + n) for n in range(2 * COUNT))


@pytest.mark.parametrize("masks", [("s#.png", "s#_mask.png"), ("s#_mask.png", "s#_mask - Copy.png")])
def test_several_masks_side_by_side_are_refused(masks: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match=r"images have several masks: s0\.jpg has"):
        match_in_one_folder(drawn("s#.jpg", *masks), IMAGES, MASKS)


STEMS = st.sets(
    st.text(string.ascii_lowercase + string.digits + "_- é", min_size=1, max_size=8), min_size=2, max_size=30
)
WORDS = st.sampled_from(["_mask", "-seg", "_gt", ".label", "mask_", "GT ", "_labelIds", "_cp_masks", "___fuse", ""])


@given(STEMS, WORDS, st.sampled_from([str, str.upper, str.title]), st.sampled_from(["NFC", "NFD"]), st.booleans())
def test_any_word_case_and_unicode_form_pairs_exactly_right(
    stems: set[str], word: str, spell: Callable[[str], str], pixel_format: Literal["NFC", "NFD"], apart: bool
) -> None:
    assume(not any(stem.strip("_- ") == "" for stem in stems))
    ordered = sorted(stems)
    assume(len({stem.casefold() for stem in ordered}) == len(ordered))
    spelt = [unicodedata.normalize(pixel_format, spell(stem)) for stem in ordered]
    masks = [Name("", word + stem if word[-1:] in ("_", " ") else stem + word, ".png") for stem in spelt]
    images = [Name("", unicodedata.normalize("NFC", stem), ".jpg") for stem in ordered]
    right = {(number, number) for number in range(len(ordered))}
    assert set(match_names(images, masks).pairs) == right
    if apart and word:
        files = [*images, *masks]
        found = match_in_one_folder(files, IMAGES, MASKS).pairs
        assert {(image, mask - len(images)) for image, mask in found} == right


@given(
    st.lists(st.tuples(st.sampled_from(["p1", "p2", "p3", "p1/a"]), st.sampled_from("abcd")), unique=True), st.data()
)
def test_names_that_occur_in_several_folders_never_meet_across_them(
    places: list[tuple[str, str]], data: st.DataObject
) -> None:
    images = [Name(*place, ".jpg") for place in data.draw(st.permutations(places))]
    masks = (
        [Name(*place, ".png") for place in data.draw(st.lists(st.sampled_from(places), unique=True))] if places else []
    )
    for one, other in match_names(images, masks).pairs:
        assert (images[one].folder, images[one].stem) == (masks[other].folder, masks[other].stem)


@given(st.sets(st.text("ab1_", min_size=1, max_size=6), max_size=12), st.sets(st.sampled_from(MASKS), min_size=1))
def test_no_file_is_its_own_mask(stems: set[str], endings: set[str]) -> None:
    files = [Name("", stem, ending) for stem in sorted(stems) for ending in sorted(endings)]
    try:
        match = match_in_one_folder(files, IMAGES, MASKS)
    except DataError:
        return
    assert {image for image, _ in match.pairs}.isdisjoint(mask for _, mask in match.pairs)
    assert len({mask for _, mask in match.pairs}) == len(match.pairs)
