from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.errors import DataError
from segwright.importers.images import ImageFinder, find_images, stated_parts

PARTS = st.sampled_from(["..", ".", "", "a", "C:", "a.jpg", "..\\x", "\0", "/etc", "é", "~", "x" * 300, "\ud800"])


_DIRECT = (
    "a.jpg",
    "/home/x/a.jpg",
    "x/two/1.jpg",
    "https://host/two/1.jpg?sig=a/one/1.jpg",
    "/data/local-files/?d=in%2Ftwo%2F1.jpg",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pictures")
    for name in ("secret.jpg", "in/a.jpg", "in/one/1.JPG", "in/two/1.jpg", "in/two/deep/é.png", "in/._b.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@given(st.lists(PARTS, max_size=6).map("/".join))
def test_a_stated_path_never_leads_out_of_the_folder(folder: Path, stated: str) -> None:
    assert ".." not in stated_parts(stated)
    finder = ImageFinder(folder / "in", everywhere=False)
    for name in (f"{stated}/secret.jpg", f"../secret.jpg{stated}", stated):
        if found := finder.find(name):
            assert Path(found.blob.name).resolve().is_relative_to(folder / "in")
            assert ".." not in PurePosixPath(found.name).parts and not found.name.startswith("/")


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("a.jpg", "a.jpg"),
        ("/home/x/a.jpg", "a.jpg"),
        ("D:\\one\\1.jpg", "one/1.JPG"),
        ("x/two/1.jpg", "two/1.jpg"),
        ("1.jpg", None),
        ("e\N{COMBINING ACUTE ACCENT}.png", "two/deep/é.png"),
        ("%C3%A9.png", "two/deep/é.png"),
        ("é.tif", "two/deep/é.png"),
        ("é", "two/deep/é.png"),
        ("0123abcd-A.jpg", "a.jpg"),
        ("https://host/two/1.jpg?sig=a/one/1.jpg", "two/1.jpg"),
        ("/data/local-files/?d=one/1.jpg", "one/1.JPG"),
        ("/data/local-files/?d=in%2Ftwo%2F1.jpg", "two/1.jpg"),
        ("b.jpg", None),
        ("", None),
    ],
)
def test_images_are_found_by_path_name_and_spelling_and_never_guessed(
    folder: Path, stated: str, name: str | None
) -> None:
    found = ImageFinder(folder / "in", everywhere=True).find(stated)
    assert (found and found.name) == name
    found = ImageFinder(folder / "in", everywhere=False).find(stated)
    assert (found and found.name) == (name if stated in _DIRECT else None)


def test_the_folder_that_holds_most_images_is_taken(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    stated = ["1.JPG", "1.jpg", "a.jpg", "z.jpg"]
    found = find_images(stated, [folder / "in" / "one", folder / "in" / "two", folder / "in"], None, "list.json")
    assert {name: image.name for name, image in found.items()} == {"1.JPG": "1.JPG"}
    assert "list.json: 3 of 4 images left out, not found: 1.jpg, a.jpg, z.jpg" in caplog.text
    with pytest.raises(DataError, match=r"none of the 1 images is there, for example z.jpg.*--images DIR"):
        find_images(["z.jpg"], [folder], None, "list.json")


def test_names_that_several_files_have_are_said_to_be_such(folder: Path) -> None:
    with pytest.raises(DataError, match=r"several files have the name, as one/1.JPG and two/1.jpg. Give their folder"):
        find_images(["1.jpg"], [folder / "in"], folder / "in", "train.csv")
