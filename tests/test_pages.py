import re

from segwright.pages import STYLE


def test_every_colour_is_there_by_day_and_by_night() -> None:
    day, night = (
        dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]{6})", part)) for part in STYLE.split("prefers-color-scheme")
    )
    assert day.keys() == night.keys() >= {"--ground", "--card", "--ink", "--quiet", "--line", "--track"}
    assert all(day[name] != night[name] for name in day)


def test_the_style_loads_nothing() -> None:
    assert "url(" not in STYLE and "@import" not in STYLE and "<" not in STYLE
