import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from segwright.serving.requests import Body, content_codings
from tests.helpers.served import picture

PLAIN = picture("BMP")
MEBIBYTE = 1 << 20


def bare(data: bytes) -> bytes:
    """Deflate without zlib's wrapper, as some clients send it."""
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def codings(*headers: str) -> list[str]:
    sent = [(b"content-encoding", header.encode()) for header in headers]
    return content_codings(Request({"type": "http", "headers": sent}))


def refused(data: bytes, *names: str, largest: int = MEBIBYTE) -> tuple[int, str]:
    with pytest.raises(HTTPException) as caught:
        Body(data, names, largest, "send less.").decoded()
    return caught.value.status_code, caught.value.detail


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ((), []),
        (("",), []),
        (("identity",), []),
        (("GZip",), ["gzip"]),
        (("x-gzip",), ["gzip"]),
        (("deflate",), ["deflate"]),
        (("deflate, gzip",), ["gzip", "deflate"]),
        (("deflate", "identity , gzip"), ["gzip", "deflate"]),
    ],
)
def test_codings_are_undone_from_the_last_to_the_first(headers: tuple[str, ...], expected: list[str]) -> None:
    assert codings(*headers) == expected


@pytest.mark.parametrize(
    "header", ["br", "zstd", "compress", "gzip, br", "aws-chunked", "gzip, gzip, gzip", "*", "x" * 999]
)
def test_other_codings_are_415_with_what_is_undone(header: str) -> None:
    with pytest.raises(HTTPException) as caught:
        codings(header)
    assert caught.value.status_code == 415 and caught.value.headers == {"Accept-Encoding": "gzip, deflate, identity"}
    assert caught.value.detail.startswith(f"Content-Encoding is {header[:100]}, but only gzip and deflate are undone")


@pytest.mark.parametrize(
    ("data", "names"),
    [
        (PLAIN, ()),
        (gzip.compress(PLAIN), ("gzip",)),
        (zlib.compress(PLAIN), ("deflate",)),
        (bare(PLAIN), ("deflate",)),
        (gzip.compress(zlib.compress(PLAIN)), ("gzip", "deflate")),
        (gzip.compress(PLAIN[:999]) + gzip.compress(b"") + gzip.compress(PLAIN[999:]), ("gzip",)),
    ],
)
def test_what_was_compressed_comes_out(data: bytes, names: tuple[str, ...]) -> None:
    assert Body(data, names).decoded() == PLAIN


@pytest.mark.parametrize("size", [0, 1, (1 << 16) - 1, 1 << 16, MEBIBYTE - 1, MEBIBYTE, MEBIBYTE + 1, 3 * MEBIBYTE])
@pytest.mark.parametrize("dense", [False, True])
def test_every_size_comes_out_whole(size: int, dense: bool) -> None:
    plain = random.Random(size).randbytes(size) if dense else bytes(size)
    assert Body(gzip.compress(plain, 1), ["gzip"]).decoded() == plain
    assert Body(bare(plain), ["deflate"]).decoded() == plain


def test_nothing_is_nothing_in_any_coding() -> None:
    assert Body(b"", ["gzip", "deflate"]).decoded() == b""


@pytest.mark.parametrize("name", ["gzip", "deflate"])
def test_damaged_data_are_400(name: str) -> None:
    whole = gzip.compress(PLAIN) if name == "gzip" else zlib.compress(PLAIN)
    for data in (whole[:-3], whole[:20], whole[:1], b"poison", whole[:-6] + b"\0\0" + whole[-4:]):
        status, sentence = refused(data, name)
        assert status == 400
        assert sentence == (
            f"Content-Encoding says {name}, but the body is no whole {name} data: "
            "leave the header out, or compress the body."
        )
    assert "is a BMP picture as it is: leave the header out" in refused(PLAIN, name)[1]


def test_what_follows_the_end_is_400() -> None:
    for data in (zlib.compress(PLAIN) + b"x", bare(PLAIN) + b"more"):
        assert refused(data, "deflate") == (
            400,
            "Content-Encoding says deflate, but the body goes on after its end: send it alone.",
        )
    assert refused(gzip.compress(PLAIN) + b"x", "gzip")[0] == 400
    assert refused(gzip.compress(b"") * 70_000, "gzip")[0] == 400, "each member costs time"


@pytest.mark.parametrize("layers", [1, 2])
def test_a_bomb_is_refused_at_the_limit(layers: int) -> None:
    bomb = bare(bytes(1 << 26))
    for _ in range(layers - 1):
        bomb = bare(bomb)
    tracemalloc.start()
    try:
        status, sentence = refused(bomb, *["deflate"] * layers, largest=4 * MEBIBYTE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (status, sentence) == (
        413,
        "The body has 4,194,304 or more bytes when inflated, but 4,194,303 are read at most: send less.",
    )
    assert peak < 8 * MEBIBYTE


def test_a_refused_bomb_leaves_no_memory_behind() -> None:
    bomb = bare(bytes(1 << 26))
    tracemalloc.start()
    try:
        with pytest.raises(HTTPException) as caught:  # which holds its frames
            Body(bomb, ["deflate"], 16 * MEBIBYTE).decoded()
        assert caught.value.status_code == 413
        assert tracemalloc.get_traced_memory()[0] < 4 * MEBIBYTE
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=99), st.integers(0, 200), st.sampled_from(["gzip", "deflate"]))
def test_whatever_comes_is_inflated_or_refused(noise: bytes, place: int, name: str) -> None:
    whole = gzip.compress(PLAIN[:500]) if name == "gzip" else zlib.compress(PLAIN[:500])
    for data in (noise, whole[:place] + noise + whole[place + len(noise) :]):
        try:
            Body(data, [name]).decoded()
        except HTTPException as error:
            assert error.status_code == 400
