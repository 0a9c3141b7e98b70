"""The server's page, sent by the real server and used in a real browser."""

import base64
import io
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Download, Page, expect
from tests.helpers.served import CLASSES, picture, pixels, server, write_bundle

from browser_tests.windows import CONTRASTS, DESKTOP, PHONE
from segwright.inference import Model, load

SIZES = [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")]
HOSTILE = "<img src=x onerror=alert(1)>" + "long" * 20
OF_TESTS = (
    "Failed to load resource: the server responded with a status of 4",  # errors that tests ask for
    "Canvas2D: Multiple readback operations",  # the tests read colours
)
COLOUR_AT = """([x, y]) => {
  const canvas = document.getElementById('canvas');
  return [...canvas.getContext('2d').getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data];
}"""
SEND = """([how, kind, data, name]) => {
  const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0)), transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, {type: kind}));
  const options = {bubbles: true, cancelable: true};
  document.body.dispatchEvent(how === 'drop' ? new DragEvent('drop', {...options, dataTransfer: transfer})
    : new ClipboardEvent('paste', {...options, clipboardData: transfer}));
}"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = write_bundle(tmp_path_factory.mktemp("page") / "model")
    description = json.loads((path / "bundle.json").read_text())
    for entry, name in zip(description["classes"], ("road", HOSTILE, "sky"), strict=True):
        entry["name"] = name
    (path / "bundle.json").write_text(json.dumps(description))
    return path


@pytest.fixture(scope="module")
def model(bundle: Path) -> Model:
    return load(bundle, "cpu")


@pytest.fixture(scope="module")
def address(bundle: Path) -> Iterator[str]:
    with server("-m", "segwright", "serve", bundle, "--port", "0", "--device", "cpu") as running:
        yield running.address


@pytest.fixture
def open_page(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Opens the page in a window; at the end nothing may have complained or come from elsewhere."""
    contexts, complaints = [], []

    def opened(size: tuple[int, int] = DESKTOP, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        elsewhere = re.compile(f"^(?!{re.escape(address)}|data:|blob:).*")
        page.on("request", lambda request: complaints.extend(elsewhere.findall(request.url)))
        page.goto(address)
        expect(page.locator("#legend li")).to_have_count(len(CLASSES))
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [text for text in complaints if not text.startswith(OF_TESTS)] == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


def choose(page: Page, data: bytes | None = None, name: str = "photo.png", kind: str = "image/png") -> None:
    file = {"name": name, "mimeType": kind, "buffer": picture() if data is None else data}
    page.set_input_files("#chooser", file)  # type: ignore[arg-type]
    expect(page.locator("#answer")).to_be_visible()
    settle(page)


def settle(page: Page) -> None:
    """Wait until the canvas is painted."""
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def place_of(page: Page, x: int, y: int) -> tuple[float, float]:
    """Where the middle of a picture's pixel is on the canvas, at the fitting size, of 40 x 57."""
    width, height = page.evaluate("[canvas.clientWidth, canvas.clientHeight]")
    scale = min(width / 57, height / 40)
    return (width - 57 * scale) / 2 + (x + 0.5) * scale, (height - 40 * scale) / 2 + (y + 0.5) * scale


def hover(page: Page, x: int, y: int) -> None:
    page.locator("#canvas").hover(position=dict(zip("xy", place_of(page, x, y), strict=True)))  # type: ignore[arg-type]


def colour_at(page: Page, x: int, y: int) -> list[int]:
    settle(page)
    found: list[int] = page.evaluate(COLOUR_AT, place_of(page, x, y))
    return found


def slide(page: Page, name: str, value: int) -> None:
    page.locator(name).fill(str(value))


def downloaded(page: Page, button: str) -> tuple[Download, bytes]:
    with page.expect_download() as waiting:
        page.click(button)
    return waiting.value, Path(waiting.value.path()).read_bytes()


def test_a_chosen_picture_is_answered_with_classes_shares_and_times(page: Page, model: Model) -> None:
    expect(page.locator("#invitation")).to_be_visible()
    expect(page.locator("#model")).to_contain_text("3 classes")
    choose(page)
    expect(page.locator("#invitation")).to_be_hidden()
    mask = model.mask(pixels(picture()))
    shares = np.bincount(mask.ravel(), minlength=3) / mask.size
    rows = page.locator("#legend li").all_inner_texts()
    order = sorted(range(3), key=lambda index: -shares[index])
    names = ("road", HOSTILE, "sky")
    assert [row.split("\n")[0] for row in rows] == [names[index] for index in order], "most first"
    assert [row.split("\n")[1] for row in rows] == [f"{100 * shares[index]:.1f} %" for index in order]
    expect(page.locator("#summary")).to_contain_text("photo.png, 57 x 40: 3 of 3 classes in")
    assert page.locator("#stages dt").all_inner_texts() == ["decode", "network", "encode", "transfer, waiting"]
    assert all(re.fullmatch(r"[\d.]+ m?s", text) for text in page.locator("#stages dd").all_inner_texts())


@pytest.mark.parametrize("how", ["drop", "paste"])
def test_a_picture_comes_by_drag_or_clipboard_too(page: Page, how: str) -> None:
    page.evaluate(SEND, [how, "image/png", base64.b64encode(picture()).decode(), "other.png"])
    expect(page.locator("#summary")).to_contain_text("other.png")


def test_a_pixel_says_its_class_and_probability(page: Page, model: Model) -> None:
    choose(page)
    probabilities = model.probabilities(pixels(picture()))
    for x, y in ((0, 0), (30, 20), (56, 39)):
        hover(page, x, y)
        index, highest = int(probabilities[:, y, x].argmax()), float(probabilities[:, y, x].max())
        said = page.inner_text("#readout")
        assert ("road", HOSTILE, "sky")[index] in said and f"x {x}, y {y}" in said
        assert abs(int(re.findall(r"(\d+) %", said)[0]) - 100 * highest) <= 1
        expect(page.locator("#legend li.marked")).to_contain_text(("road", HOSTILE, "sky")[index])
    page.mouse.move(5, 5)
    assert "%" not in page.inner_text("#readout")


def test_opacity_and_switches_say_what_is_painted(page: Page, model: Model) -> None:
    choose(page)
    image, mask = pixels(picture()), model.mask(pixels(picture()))
    index = int(mask[20, 30])
    slide(page, "#opacity", 100)
    assert colour_at(page, 30, 20)[:3] == list(CLASSES[index].colour)
    slide(page, "#opacity", 50)
    mixed = (image[20, 30].astype(int) + CLASSES[index].colour) / 2
    assert np.abs(colour_at(page, 30, 20)[:3] - mixed).max() <= 2
    row = page.locator("#legend li", has_text=("road", HOSTILE, "sky")[index])
    row.locator("input").uncheck()
    assert colour_at(page, 30, 20)[:3] == image[20, 30].tolist()
    page.click("#show-all")
    assert colour_at(page, 30, 20)[:3] != image[20, 30].tolist()
    page.click("#show-none")
    assert all(colour_at(page, x, 10)[:3] == image[10, x].tolist() for x in (3, 20, 50))


def test_what_is_pointed_at_in_the_legend_stands_out(page: Page, model: Model) -> None:
    choose(page)
    mask = model.mask(pixels(picture()))
    index, other = int(mask[20, 30]), (int(mask[20, 30]) + 1) % 3
    slide(page, "#opacity", 100)
    page.locator("#legend li", has_text=("road", HOSTILE, "sky")[other]).hover()
    assert colour_at(page, 30, 20)[:3] != list(CLASSES[index].colour)
    page.locator("#legend li", has_text=("road", HOSTILE, "sky")[index]).hover()
    assert colour_at(page, 30, 20)[:3] == list(CLASSES[index].colour)


def test_unsure_pixels_are_grey(page: Page, model: Model) -> None:
    choose(page)
    highest = np.rint(255 * model.probabilities(pixels(picture())).max(0))
    slide(page, "#opacity", 100)
    slide(page, "#threshold", 60)
    grey = highest < round(2.55 * 60)
    assert 0 < grey.mean() < 1
    expect(page.locator("#unsure")).to_have_text(f"{100 * grey.mean():.1f} % of the pixels are grey.")
    page.click("#show-all")
    for y, x in (np.argwhere(grey)[0], np.argwhere(~grey)[0]):
        red, green, blue, _ = colour_at(page, int(x), int(y))
        own = any((red, green, blue) == entry.colour for entry in CLASSES)
        assert own != grey[y, x]
    slide(page, "#threshold", 0)
    expect(page.locator("#unsure")).to_be_hidden()


def test_the_heat_map_shows_confidence(page: Page, model: Model) -> None:
    choose(page)
    highest = model.probabilities(pixels(picture())).max(0)
    slide(page, "#opacity", 100)
    page.check("input[value=confidence]")
    expect(page.locator("#ramp")).to_be_visible()
    sure, unsure = (np.unravel_index(at, highest.shape) for at in (highest.argmax(), highest.argmin()))
    light = [sum(colour_at(page, int(x), int(y))[:3]) for y, x in (sure, unsure)]
    assert light[0] < light[1] - 100, "the less sure, the lighter"
    expect(page.locator("#legend input").first).to_be_disabled()
    page.check("input[value=classes]")
    expect(page.locator("#legend input").first).to_be_enabled()


def test_before_and_after_are_compared(page: Page, model: Model) -> None:
    choose(page)
    image = pixels(picture())
    slide(page, "#opacity", 100)
    page.check("#compare")
    divider = page.locator("#divider")
    expect(divider).to_have_attribute("aria-valuenow", "50")
    assert (
        colour_at(page, 10, 20)[:3] == image[20, 10].tolist() and colour_at(page, 45, 20)[:3] != image[20, 45].tolist()
    )
    box = divider.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] - 3000, box["y"] + 100)
    page.mouse.up()
    assert colour_at(page, 10, 20)[:3] != image[20, 10].tolist()
    divider.focus()
    page.keyboard.press("End")
    expect(divider).to_have_attribute("aria-valuenow", "100")
    assert colour_at(page, 45, 20)[:3] == image[20, 45].tolist()
    page.keyboard.press("ArrowLeft")
    expect(divider).to_have_attribute("aria-valuenow", "98")
    page.uncheck("#compare")
    expect(divider).to_be_hidden()


def test_zoom_goes_to_the_pixel_and_back(page: Page) -> None:
    choose(page)
    fitting = page.inner_text("#zoom-actual")
    page.click("#zoom-in")
    assert int(page.inner_text("#zoom-actual")[:-2]) == pytest.approx(1.5 * int(fitting[:-2]), abs=2)
    page.keyboard.press("-")
    assert page.inner_text("#zoom-actual") == fitting
    page.click("#zoom-actual")
    assert page.inner_text("#zoom-actual") == "100 %"
    page.keyboard.press("0")
    assert page.inner_text("#zoom-actual") == fitting
    hover(page, 30, 20)
    before = page.inner_text("#readout")
    for _ in range(12):
        page.mouse.wheel(0, -300)
    expect(page.locator("#zoom-actual")).to_have_text("4800 %")
    assert page.inner_text("#readout") == before, "the pixel below the pointer stays there"
    page.click("#show-none")
    settle(page)
    row = page.evaluate("[...canvas.getContext('2d').getImageData(0, canvas.height >> 2, canvas.width, 1).data]")
    lengths = np.diff(np.flatnonzero(np.diff(row[::4])))
    assert len(lengths) and (lengths % 48 == 0).all(), "each pixel is a crisp square"


def test_a_drag_moves_the_picture(page: Page) -> None:
    choose(page)
    page.locator("#canvas").hover(position={"x": 300, "y": 300})
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.mouse.move(400, 400)
    before = page.inner_text("#readout")
    page.mouse.down()
    page.mouse.move(440, 440, steps=4)
    assert page.inner_text("#readout") == before, "the same pixel is below the pointer"
    page.mouse.up()
    page.mouse.move(400, 400)
    assert page.inner_text("#readout") != before


def test_the_keyboard_does_it_all(page: Page) -> None:
    choose(page)
    page.locator("#canvas").focus()
    page.keyboard.press("ArrowRight")
    first = page.inner_text("#readout")
    assert re.search(r"\d+ %.*x \d+, y \d+", first, re.DOTALL)
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#readout") != first
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        seen.add(
            page.evaluate("document.activeElement.id || document.activeElement.name || document.activeElement.type")
        )
    wanted = {"chooser", "canvas", "zoom-in", "zoom-out", "zoom-fit", "mode", "opacity", "threshold", "compare"}
    assert wanted | {"checkbox", "show-all", "save-mask", "save-overlay", "copy", "curl"} <= seen


def test_the_mask_is_saved_as_predict_writes_it(page: Page, model: Model) -> None:
    choose(page)
    download, data = downloaded(page, "#save-mask")
    assert download.suggested_filename == "photo.mask.png"
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.mode == "P"
        palette = np.array(image.getpalette()).reshape(-1, 3)
        assert palette[:3].tolist() == [list(entry.colour) for entry in CLASSES]
        assert (np.asarray(image) == model.mask(pixels(picture()))).all()


def test_the_overlay_is_saved_as_it_is_seen(page: Page, model: Model) -> None:
    choose(page)
    slide(page, "#opacity", 100)
    download, data = downloaded(page, "#save-overlay")
    assert download.suggested_filename == "photo.overlay.png"
    colours = np.array([entry.colour for entry in CLASSES])[model.mask(pixels(picture()))]
    shown = pixels(data)[..., :3]
    assert shown.shape == (40, 57, 3) and (shown == colours).all()
    page.click("#show-none")
    _, data = downloaded(page, "#save-overlay")
    assert (pixels(data)[..., :3] == pixels(picture())).all()


def test_the_command_is_one_for_a_shell_whatever_the_name(open_page: Callable[..., Page], address: str) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    name = "it's $(touch pwned)`x` <b>.png"
    choose(page, name=name)
    page.click("#copy")
    expect(page.locator("#copy")).to_have_text("Copied")
    words = shlex.split(page.evaluate("navigator.clipboard.readText()"))
    output = "it's $(touch pwned)`x` <b>.mask.png"
    accept = "Accept: image/png;palette=1"
    assert words == ["curl", "--data-binary", f"@{name}", "-H", accept, f"{address}/invocations", "-o", output]


def test_a_file_that_is_no_picture_is_an_error_and_the_next_one_is_not(page: Page) -> None:
    file = {"name": "<b>notes</b>.txt", "mimeType": "text/plain", "buffer": b"notes"}
    page.set_input_files("#chooser", file)  # type: ignore[arg-type]
    expect(page.locator("#error")).to_contain_text("<b>notes</b>.txt: The image")
    expect(page.locator("#invitation")).to_be_visible()
    expect(page.locator("#busy")).to_be_hidden()
    choose(page)
    expect(page.locator("#error")).to_be_hidden()


def test_the_last_of_several_pictures_wins(page: Page) -> None:
    for index in range(4):
        file = {"name": f"{index}.png", "mimeType": "image/png", "buffer": picture(height=200 + index)}
        page.set_input_files("#chooser", file)  # type: ignore[arg-type]
    expect(page.locator("#summary")).to_contain_text("3.png, 57 x 203")
    expect(page.locator("#busy")).to_be_hidden()
    expect(page.locator("#error")).to_be_hidden()


def test_a_file_that_the_browser_cannot_show_has_its_classes_shown(page: Page, model: Model) -> None:
    choose(page, picture("TIFF"), "photo.tif", "image/tiff")
    expect(page.locator("#remark")).to_have_text(
        "The classes are shown without the picture: a browser cannot show such files."
    )
    slide(page, "#opacity", 100)
    assert colour_at(page, 30, 20)[:3] == list(CLASSES[int(model.mask(pixels(picture()))[20, 30])].colour)


def test_a_turned_picture_is_shown_as_the_model_sees_it(page: Page, model: Model) -> None:
    assert not model.pixel_format.exif_transposed
    exif = Image.Exif()
    exif[274] = 6
    stream = io.BytesIO()
    Image.fromarray(pixels(picture())).save(stream, "JPEG", exif=exif, quality=100, subsampling=0)
    choose(page, stream.getvalue(), "photo.jpg", "image/jpeg")
    expect(page.locator("#summary")).to_contain_text("57 x 40")
    expect(page.locator("#remark")).to_be_hidden()
    page.click("#show-none")
    assert np.abs(np.subtract(colour_at(page, 50, 5)[:3], pixels(picture())[5, 50])).max() < 8


def test_a_large_picture_keeps_its_pixels(page: Page, model: Model) -> None:
    image = np.zeros((4200, 4400, 3), np.uint8)  # more than a canvas of a phone holds
    image[:, 2200:] = 255
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", compress_level=1)
    page.set_default_timeout(60_000)
    file = {"name": "large.png", "mimeType": "image/png", "buffer": stream.getvalue()}
    page.set_input_files("#chooser", file)  # type: ignore[arg-type]
    expect(page.locator("#answer")).to_be_visible(timeout=60_000)
    expect(page.locator("#summary")).to_contain_text("4400 x 4200")
    _, data = downloaded(page, "#save-mask")
    assert pixels(data).shape == (4200, 4400)
    _, data = downloaded(page, "#save-overlay")
    height, width, _ = pixels(data).shape
    assert 0.98 * 2**24 < height * width <= 2**24


@pytest.mark.parametrize(("size", "scheme"), SIZES, ids=str)
def test_any_window_and_scheme_is_readable(open_page: Callable[..., Page], size: tuple[int, int], scheme: str) -> None:
    phone = {"is_mobile": True, "has_touch": True, "device_scale_factor": 2} if size == PHONE else {}
    page = open_page(size, color_scheme=scheme, **phone)
    choose(page, name="a-name-without-any-space-to-break-it-at" * 4 + ".png")
    slide(page, "#threshold", 60)
    page.check("#compare")
    page.check("input[value=confidence]")
    wide = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide[0] <= wide[1] == size[0]
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 40
    assert [entry for entry in contrasts if entry[0] < 4.5] == []


def test_dark_and_light_differ(open_page: Callable[..., Page]) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    assert len({open_page(color_scheme=scheme).evaluate(ground) for scheme in ("light", "dark")}) == 2


def test_fingers_read_pixels_pinch_and_scroll(open_page: Callable[..., Page]) -> None:
    page = open_page(PHONE, is_mobile=True, has_touch=True, device_scale_factor=2)
    choose(page)
    x, y = place_of(page, 30, 20)
    box = page.locator("#canvas").bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + x, box["y"] + y)
    assert "x 30, y 20" in page.inner_text("#readout")
    touch_action = "canvas.style.touchAction"
    assert page.evaluate(touch_action) == "pan-y", "one finger scrolls the page"
    fitting = int(page.inner_text("#zoom-actual")[:-2])
    session = page.context.new_cdp_session(page)
    for kind, distance in (("Start", 40), ("Move", 60), ("Move", 80), ("End", None)):
        fingers = [] if distance is None else [{"x": 190 + side * distance, "y": 220} for side in (-1, 1)]
        session.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": fingers})
    assert int(page.inner_text("#zoom-actual")[:-2]) == pytest.approx(2 * fitting, rel=0.05)
    assert page.evaluate(touch_action) == "none", "one finger moves the picture"


def test_names_are_texts(page: Page) -> None:
    choose(page, name="<img src=x onerror=alert(2)>.png")
    assert HOSTILE in page.inner_text("#legend") and "<img src=x onerror=alert(2)>.png" in page.inner_text("#summary")
    assert page.locator("img").count() == 0
