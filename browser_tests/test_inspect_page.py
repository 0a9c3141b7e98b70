"""The page of `segwright inspect`, written by the real command and opened in a real browser."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from browser_tests.windows import CONTRASTS, DESKTOP, PHONE


def segwright(*arguments: str | Path, cwd: Path, expected: int = 0) -> None:
    command = [sys.executable, "-m", "segwright", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200)
    assert done.returncode == expected, done.stderr


def damage(data: Path) -> None:
    """Something for most findings, in both channels."""
    train, validation = sorted((data / "train").iterdir()), sorted((data / "validation").iterdir())

    def mask(image: Path) -> Path:
        return data / f"{image.parent.name}_annotation" / f"{image.stem}.png"

    def save(image: Path, numbers: Any) -> None:
        Image.fromarray(np.asarray(numbers, np.uint8)).save(mask(image))

    mask(train[0]).unlink()
    train[1].write_bytes(train[1].read_bytes()[:900])
    save(train[2], np.full((240, 320), 99))
    save(train[3], np.full((120, 160), 23))
    save(train[4], np.full((240, 320), 255))
    shutil.copy(train[5], validation[0])
    hostile = train[6].with_name('"><script>alert(1)<\\x1b[0m.jpg'.replace("\\x1b", "\x1b"))
    save(train[6], np.full((240, 320), 255))
    mask(train[6]).rename(mask(hostile))
    train[6].rename(hostile)
    Image.new("RGB", (60, 200)).save(train[7])
    save(train[7], np.full((200, 60), 23))
    save(validation[1], np.full((9, 9), 23))


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of good data, of damaged data, and of data whose classes nobody knows, each beside its JSON."""
    folder = tmp_path_factory.mktemp("pages")
    segwright("sample", "good", "--images", "30", cwd=folder)
    for name in ("damaged", "unknown"):
        shutil.copytree(folder / "good", folder / name)
    damage(folder / "damaged")
    shutil.rmtree(folder / "unknown" / "label_map")
    for name, expected in (("good", 0), ("damaged", 2), ("unknown", 2)):
        outputs = ("--html", f"{name}.html", "--json", f"{name}.json")
        segwright("inspect", name, *outputs, cwd=folder, expected=expected)
    return {name: folder / f"{name}.html" for name in ("good", "damaged", "unknown")}


class Opened:
    """A page in the browser, and what it asked for and complained of."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.requests.append(request.url))
        page.route(re.compile("^(?!file:|data:)"), lambda route: route.abort())


@pytest.fixture(params=["good", "damaged", "unknown"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")], ids=str)
def opened(request: pytest.FixtureRequest, browser: Browser, pages: dict[str, Path], name: str) -> Iterator[Opened]:
    (width, height), scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
    opened = Opened(page)
    page.goto(pages[name].as_uri())
    yield opened
    page.close()


def test_the_page_loads_nothing_and_complains_of_nothing(opened: Opened) -> None:
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith(("file:", "data:"))] == []
    assert sum(url.startswith("file:") for url in opened.requests) == 1


def test_every_finding_is_there_to_read(opened: Opened, pages: dict[str, Path], name: str) -> None:
    shown = " ".join(opened.page.inner_text("main").split())
    findings = json.loads(pages[name].with_suffix(".json").read_text())["findings"]
    assert findings
    for finding in findings:
        for text in (finding["what"], finding["cure"], finding["label_map"], *finding["files"]):
            assert " ".join(text.split()) in shown
    verdict = "A training would start." if name == "good" else "A training would refuse these data."
    assert verdict in shown


def test_all_images_decode(opened: Opened) -> None:
    opened.page.wait_for_function("[...document.images].every(image => image.complete)")
    widths = opened.page.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) > 20 and min(widths) > 0


def test_nothing_reaches_beyond_the_window(opened: Opened) -> None:
    wide = opened.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1]


def test_every_text_has_contrast(opened: Opened) -> None:
    contrasts = opened.page.evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [entry for entry in contrasts if entry[0] < 4.5] == []


def test_no_table_is_scrolled_sideways(opened: Opened) -> None:
    tables = "[...document.querySelectorAll('table')].map(e => [e.scrollWidth, e.parentElement.clientWidth])"
    assert all(width <= room for width, room in opened.page.evaluate(tables))


def enlarged(page: Page) -> bool:
    """Whether the images of the second sample fill the window; else they lie in the page."""
    images = page.locator("button.images").nth(1)
    box = images.bounding_box()
    fills = box == {"x": 0, "y": 0, **page.viewport_size} if page.viewport_size else False
    assert fills == page.evaluate("document.querySelector(':popover-open') !== null")
    return fills


def test_samples_are_enlarged_by_a_click_or_enter_and_shrink_again(opened: Opened) -> None:
    page, images = opened.page, opened.page.locator("button.images").nth(1)
    before = images.locator("img").last.bounding_box()
    images.click()
    assert enlarged(page)
    after = images.locator("img").last.bounding_box()
    assert before and after and after["width"] > 1.5 * before["width"]
    page.keyboard.press("Escape")
    assert not enlarged(page)
    for key in ("Enter", "Space"):
        images.focus()
        page.keyboard.press(key)
        assert enlarged(page)
        page.keyboard.press("Escape")
        assert not enlarged(page)
    images.click()
    page.mouse.click(200, 300)
    assert not enlarged(page)


def test_enlarged_images_are_whole(opened: Opened) -> None:
    page, images = opened.page, opened.page.locator("button.images").nth(1)
    images.click()
    assert page.viewport_size
    for image in images.locator("img").all():
        box = image.bounding_box()
        assert box and min(box["x"], box["y"]) >= 0
        assert box["x"] + box["width"] <= page.viewport_size["width"]
        assert box["y"] + box["height"] <= page.viewport_size["height"]


def test_dark_and_light_differ(browser: Browser, pages: dict[str, Path]) -> None:
    grounds = set()
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(pages["good"].as_uri())
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()
    assert len(grounds) == 2
