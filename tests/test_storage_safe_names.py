import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segwright.errors import UserError
from segwright.storage import leads_below, path_below

ORDINARY = (
    "a.png",
    "street/one two.png",
    "größe/naïve 背景 🚗.png",
    "a..b.png",
    "..a/b...png",
    ".hidden/.x.png",
    "2024:05:01 12.30.png",
    "cafe\u0301.png",
    "caf\u00e9.png",
    "\uff0e\uff0e\uff0fowned.png",  # fullwidth dots and slash: characters like any other
    "\u2024\u2024\u2215owned.png",
    "images\\a.png",
    "trailing. /x .png ",
    "~root/$HOME/%2e%2e%2fx.png",
    "aux.png",
    "\udcff.png",  # a byte that is not UTF-8, as the system gives it
    "x" * 251 + ".png",
    "/".join("d" * 100 for _ in range(20)),
)
HOSTILE = (
    "",
    "/",
    "/etc/passwd",
    "//server/share",
    "..",
    "../owned.png",
    "a/../../owned.png",
    "a/../b.png",
    "a/..",
    ".",
    "./a.png",
    "a/./b.png",
    "a//b.png",
    "a/",
    "..\\owned.png",
    "a\\..\\..\\owned.png",
    "\\owned.png",
    "\\\\server\\share\\x",
    "C:\\x.png",
    "C:x.png",
    "c:/x.png",
    ".. /owned.png",
    "... /owned.png",
    "a/ /b.png",
    "a\0.png",
    "a\nb.png",
    "\x1b[2J.png",
    "\x7f",
    "\ud800.png",
    "x" * 300,
    "ü" * 128,
    "/".join("d" * 100 for _ in range(50)),
)


@pytest.mark.parametrize("name", ORDINARY)
def test_ordinary_names_stay_what_they_are(name: str, tmp_path: Path) -> None:
    path = path_below(tmp_path / "out", name)
    assert os.fspath(path) == f"{tmp_path}/out/{name}"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    assert [file for file in (tmp_path / "out").rglob("*") if file.is_file()] == [path]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_that_lead_out_or_are_none_are_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        path_below(tmp_path / "out", name)
    sentence = str(caught.value)
    assert sentence.isprintable() and len(sentence) < 400 and "no name of a file below the output folder" in sentence


@pytest.mark.parametrize("name", ["door/x.png", "door", "file.png", "dangling", "dangling/x.png", "circle/x", "up/x"])
def test_links_that_lead_out_are_not_followed(name: str, tmp_path: Path) -> None:
    folder = with_links(tmp_path)
    with pytest.raises(UserError, match="symbolic link"):
        path_below(folder, name)


def test_links_within_the_folder_and_to_it_are_fine(tmp_path: Path) -> None:
    folder = with_links(tmp_path)
    assert path_below(folder, "inner/x.png") == folder / "inner" / "x.png"
    (tmp_path / "elsewhere").symlink_to(folder)
    assert path_below(tmp_path / "elsewhere", "x.png") == tmp_path / "elsewhere" / "x.png"
    with pytest.raises(UserError):
        path_below(tmp_path / "elsewhere", "door/x.png")


def test_a_folder_is_not_below_itself(tmp_path: Path) -> None:
    assert not leads_below(tmp_path, tmp_path)
    assert not leads_below(tmp_path / "a" / "..", tmp_path)
    assert leads_below(tmp_path / "a", tmp_path)
    assert not leads_below(tmp_path.parent / f"{tmp_path.name}-2" / "x", tmp_path)


def with_links(place: Path) -> Path:
    """A folder `out` with links into itself and out of it; what is outside is in `outside`."""
    folder, outside = place / "out", place / "outside"
    (folder / "real").mkdir(parents=True)
    outside.mkdir()
    (outside / "file.png").write_bytes(b"theirs")
    (folder / "inner").symlink_to(folder / "real")
    (folder / "door").symlink_to(outside)
    (folder / "file.png").symlink_to(outside / "file.png")
    (folder / "dangling").symlink_to(outside / "new")
    (folder / "up").symlink_to("..")
    (folder / "circle").symlink_to("circle")
    return folder


@pytest.fixture(scope="module")
def linked() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        yield with_links(Path(place))


PARTS = st.one_of(
    st.sampled_from(
        ["..", ".", "", "a", "a..b", "...", " ", "C:", "\uff0e\uff0e", "/etc", "\0", "door", "inner", "up", "circle"]
    ),
    st.sampled_from(["dangling", "file.png", "out", "outside", "\ud800", "\udcff", "e\u0301", "\u202e", "x" * 300]),
    st.text(st.characters(exclude_categories=()), max_size=6),
)
SEPARATORS = st.sampled_from(["/", "/", "/", "//", "\\", "\uff0f", "\u2215", "/./", "/../"])
NAMES = st.lists(st.tuples(PARTS, SEPARATORS), min_size=1, max_size=6).map(
    lambda pairs: "".join(part + separator for part, separator in pairs[:-1]) + pairs[-1][0]
)


@given(name=NAMES)
def test_whatever_the_name_nothing_is_written_outside(linked: Path, name: str) -> None:
    before = everything(linked.parent)
    try:
        path = path_below(linked, name)
    except UserError as error:
        assert str(error)
        return
    assert os.fspath(path) == f"{linked}/{name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"ours")
    except OSError:  # a folder has that name, or a file that of a folder
        pass
    assert everything(linked.parent) == before


def everything(place: Path) -> dict[str, bytes]:
    """What lies in a folder, but not in `out`."""
    assert {entry.name for entry in place.iterdir()} == {"out", "outside"}
    return {str(path): path.read_bytes() for path in (place / "outside").rglob("*")}
