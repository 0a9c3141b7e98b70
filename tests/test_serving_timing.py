import re
import time

import pytest

from segwright.serving.timing import StageTimes


def test_stages_are_told_in_their_order_in_milliseconds() -> None:
    times = StageTimes()
    assert times.header() == ""
    with times.stage("decode"):
        time.sleep(0.02)
    with times.stage("network"):
        pass
    assert list(times.seconds) == ["decode", "network"] and 0.02 <= times.seconds["decode"] < 5
    found = re.fullmatch(r"decode;dur=([\d.]+), network;dur=([\d.]+)", times.header())
    assert found and float(found[1]) == pytest.approx(1000 * times.seconds["decode"], abs=0.06)


def test_a_stage_that_fails_is_told_too() -> None:
    times = StageTimes()
    with pytest.raises(ValueError, match="damaged"), times.stage("decode"):
        raise ValueError("damaged")
    assert list(times.seconds) == ["decode"]
