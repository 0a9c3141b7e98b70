import contextlib
import time
from dataclasses import replace

import pytest

from segwright.serving.accept import NotAcceptableError, ResponseFormat, negotiate

RECORDIO = ResponseFormat()
MASK = ResponseFormat("image/png", probabilities=False, dtype="uint8")
PALETTE = ResponseFormat("image/png", probabilities=False, dtype="uint8", palette=True)
NPY = ResponseFormat("application/x-npy", probabilities=False, dtype="uint8")
JSON = ResponseFormat("application/json", probabilities=False, dtype="uint8")


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", RECORDIO),
        ("*/*", RECORDIO),
        ("application/*", RECORDIO),
        ("application/x-recordio-protobuf", RECORDIO),
        ("application/x-protobuf", ResponseFormat("application/x-protobuf")),
        ("image/png", MASK),
        ("Image/PNG", MASK),
        ("image/*", MASK),
        ("image/png;palette=1", PALETTE),
        (' IMAGE/png ; Palette="1" ; q=0.3', PALETTE),
        ("image/png;palette=0", MASK),
        ("application/x-npy", NPY),
        (
            "application/x-npy;output=probabilities",
            ResponseFormat("application/x-npy", probabilities=True, dtype="float32"),
        ),
        (
            "application/x-npy; output=probabilities; dtype=float16; gzip=1",
            ResponseFormat("application/x-npy", probabilities=True, dtype="float16", gzip=True),
        ),
        (
            "application/x-npy;gzip=1",
            ResponseFormat("application/x-npy", probabilities=False, dtype="uint8", gzip=True),
        ),
        ("application/x-npy;output=confidence;gzip=1", replace(NPY, confidence=True, gzip=True)),
        ("application/json; charset=UTF-8", JSON),
        # several
        ("text/html, image/png", MASK),
        ("image/png;q=0.5, application/json", JSON),
        ("image/png, application/json", MASK),
        ("text/html,application/xml;q=0.9,image/avif,*/*;q=0.8", RECORDIO),
        ("image/*, image/png;q=0.1, application/json;q=0.5", JSON),
        ("*/*, application/*;q=0.1", MASK),
        ("*/*, application/x-recordio-protobuf;q=0", ResponseFormat("application/x-protobuf")),
        ("application/x-npy;dtype=float64, image/png;q=0.1", MASK),
        ('text/plain;note="a, image/gif", image/png', MASK),
        ("image/png;q=0.000, application/json;q=0.001", JSON),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", RECORDIO),  # what Java sends by itself
        ("*", RECORDIO),
        ("image/png;q=.2, application/json;q=.3", JSON),
        ("image/png;q=1, application/json;q=7", MASK),
        ("image/png;q=-1, application/json;q=0.1", JSON),
        # parameters of wildcards
        ("image/*;palette=1", PALETTE),
        ("*/*;palette=1", PALETTE),
        (
            "application/*;output=probabilities;dtype=float16",
            ResponseFormat("application/x-npy", probabilities=True, dtype="float16"),
        ),
        # less sure pixels left out
        ("image/png;palette=1;unsure=0.7", replace(PALETTE, unsure=0.7)),
        ("application/x-npy;unsure=1", replace(NPY, unsure=1.0)),
        ("application/json;unsure=0", JSON),
        # a mask whatever comes
        ("image/png;on_error=empty", replace(MASK, empty_on_error=True)),
        ("image/png;palette=1;on_error=empty", replace(PALETTE, empty_on_error=True)),
        ("application/x-npy;output=mask;on_error=empty", replace(NPY, empty_on_error=True)),
        ("application/json;on_error=empty", replace(JSON, empty_on_error=True)),
    ],
)
def test_what_is_asked_for_most_is_given(accept: str, expected: ResponseFormat) -> None:
    assert negotiate(accept, RECORDIO) == expected


@pytest.mark.parametrize("accept", ["", "*/*", "image/*"])
def test_a_default_of_ones_own_fills_wildcards(accept: str) -> None:
    assert negotiate(accept, PALETTE) == PALETTE
    assert negotiate("image/png", PALETTE) == MASK


@pytest.mark.parametrize(
    ("accept", "sentence"),
    [
        ("text/html", "answers come as application/json, application/x-npy,.*image/png"),
        ("image/png;q=0", "answers come as"),
        ("image/png;q=much", "answers come as"),
        ("image/png;palette=yes", "palette=0 or palette=1, not palette=yes"),
        ("image/png;pallete=1", "no parameter pallete; it takes palette"),
        ("application/x-protobuf;dtype=float16", "takes no parameters"),
        ("application/x-npy;output=logits", "output=mask or output=confidence or output=probabilities"),
        ("application/x-npy;dtype=float16", "output=mask takes dtype=uint8, not dtype=float16"),
        ("application/x-npy;output=confidence;dtype=float16", "output=confidence takes dtype=uint8"),
        ("application/x-npy;output=confidence;on_error=empty", "output=confidence has no parameter on_error"),
        ("application/x-npy;output=probabilities;dtype=uint8", "takes dtype=float32 or dtype=float16"),
        ("application/x-npy;gzip=2", "gzip=0 or gzip=1"),
        ("image/png;palette", "palette=0 or palette=1"),
        ("image/*;shade=1", "no parameter shade"),
        ("image/png;on_error=black", "takes on_error=empty"),
        ("application/x-npy;output=probabilities;on_error=empty", "output=probabilities has no parameter on_error"),
        ("application/x-recordio-protobuf;on_error=empty", "no parameter on_error"),
        ("image/png;unsure=1.1", "takes unsure=a number from 0 to 1, not unsure=1.1"),
        ("image/png;unsure=nan", "not unsure=nan"),
        ("application/json;unsure=yes", "not unsure=yes"),
        ("application/x-npy;output=probabilities;unsure=0.7", "output=probabilities has no parameter unsure"),
        ("application/x-recordio-protobuf;unsure=0.7", "no parameter unsure"),
        ("image/png" + " " * 1016, "Accept has 1,025 characters, but 1,024 are read at most"),
        ("x" * 1000, r"x{100}\.\.\., but answers come as"),
        (',;="', "answers come as"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(accept: str, sentence: str) -> None:
    with pytest.raises(NotAcceptableError, match=sentence):
        negotiate(accept, RECORDIO)


@pytest.mark.parametrize("piece", ['"', '\\"', '"\\"', ";", ",", "a;b=c,", 'a;b="', "*/*,", "a/*;"])
def test_a_hostile_header_costs_no_time(piece: str) -> None:
    start = time.process_time()
    for length in (1024, 1_000_000):
        with contextlib.suppress(NotAcceptableError):
            negotiate(f"x{piece * length}"[:length], RECORDIO)
    assert time.process_time() - start < 0.1
