"""A real browser: the Chromium or Chrome of this machine, driven by Playwright."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    paths = [path for name in BROWSERS if (path := shutil.which(name))]
    assert paths, "no Chromium or Chrome on the PATH: `make test-browser` installs one"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=paths[0])
        yield browser
        browser.close()
