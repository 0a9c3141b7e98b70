import logging
from pathlib import Path

import pytest

from segwright.data.class_tables import find_class_table, parse_class_table
from segwright.errors import LabelError

ROBOFLOW = "Pixel Value, Class\n0, background\n1, car\n2, tree\n"


@pytest.mark.parametrize(
    ("text", "values", "names"),
    [
        (ROBOFLOW, (0, 1, 2), ("background", "car", "tree")),
        (ROBOFLOW + "255, void\n", (0, 1, 2), ("background", "car", "tree")),
        ("Pixel Value, Class\n0, background\n255, car\n", (0, 255), ("background", "car")),
        ("id,name\n2,tree\n0,ground\n1,car\n", (0, 1, 2), ("ground", "car", "tree")),
        ("name,r,g,b,index\nsky,1,2,3,0\nroad,4,5,6,20\n", (0, 20), ("sky", "road")),
        ("class,label\n0,sky\n1,road\n", (0, 1), ("sky", "road")),
    ],
)
def test_pixel_values_and_names(text: str, values: tuple[int, ...], names: tuple[str, ...]) -> None:
    table = parse_class_table(text, "t.csv")
    assert table is not None and (table.values, table.names) == (values, names)
    label_map = table.label_map()
    if values == tuple(range(len(values))):
        assert label_map is None
    else:
        assert label_map is not None and label_map.class_names == names
        assert label_map.values == tuple((value, index) for index, value in enumerate(values))


@pytest.mark.parametrize(
    "text",
    [
        *("", "Pixel Value, Class\n", "name,r,g,b\nsky,1,2,3\n", "filename, car, tree\na.jpg, 1, 0\n"),
        "filename,class\na.jpg,cat\n",
        "id,trainId,name\n0,255,void\n7,0,road\n",  # nobody knows which of the numbers masks hold
    ],
)
def test_other_tables_are_none(text: str) -> None:
    assert parse_class_table(text, "t.csv") is None


@pytest.mark.parametrize(
    "text", ["id,name\n0,a\n0,b\n", "id,name\n0,a\n1,a\n", "id,name\n0,a\n1,\n", "id,name\n1,a\n2,b\n"]
)
def test_tables_that_contradict_themselves_or_leave_out_0_are_refused(text: str) -> None:
    with pytest.raises(LabelError, match=r"t\.csv"):
        parse_class_table(text, "t.csv")


def test_the_table_of_both_channels_counts_where_it_fits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for split in ("train", "valid"):
        (tmp_path / split).mkdir()
        (tmp_path / split / "_classes.csv").write_text(ROBOFLOW)
    places = [(tmp_path / "train",), (tmp_path / "valid",)]
    with caplog.at_level(logging.INFO, "segwright"):
        table = find_class_table(places, None)
        assert table is not None and table.names == ("background", "car", "tree")
        assert find_class_table(places, 7) is None
    assert [record.getMessage().removeprefix(f"{tmp_path}/") for record in caplog.records] == [
        f"class names come from {tmp_path}/train/_classes.csv: background, car, tree; num_classes, "
        "class names and label maps that are given come before it",
        "train/_classes.csv names the pixel values 0, 1, 2 and is not used: num_classes 7 means 0 to 6.",
    ]
    (tmp_path / "valid" / "_classes.csv").write_text(ROBOFLOW.replace("1, car\n", ""))
    table = find_class_table(places[::-1], None)
    assert table is not None and table.names == ("background", "car", "tree")
    (tmp_path / "valid" / "_classes.csv").write_text(ROBOFLOW.replace("car", "bus"))
    with pytest.raises(LabelError, match=r"train/_classes\.csv and .*valid/_classes\.csv give classes other names"):
        find_class_table(places, None)
    (tmp_path / "valid" / "_classes.csv").unlink()
    assert find_class_table(places, 3) is not None
    (tmp_path / "train" / "_classes.csv").write_text(ROBOFLOW.replace("2,", "9,"))
    assert find_class_table(places, 3) is None  # num_classes alone says that pixel values are classes


def test_lists_of_other_things_are_passed_over_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "classes.csv").write_text("filename,class\na.jpg,cat\n")
    with caplog.at_level(logging.INFO, "segwright"):
        assert find_class_table([(tmp_path,)], None) is None
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("classes.txt", "car\ntree\n", "give it as class_names"),
        ("class_dict.csv", "name,r,g,b\nsky,1,2,3\n", "import-data colours"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\ncar:200,60,60::\n", "import-data colours"),
        ("_classes.csv", "id,name\n0,a\n0,b\n", "mapped twice"),
    ],
)
def test_files_that_tell_no_pixel_values_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, text: str, told: str
) -> None:
    (tmp_path / name).write_text(text)
    with caplog.at_level(logging.INFO, "segwright"):
        assert find_class_table([(tmp_path,)], None) is None
    assert told in caplog.text and name in caplog.text
