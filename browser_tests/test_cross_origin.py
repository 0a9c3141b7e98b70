"""A page of one origin that asks a server of another, in a real browser."""

import base64
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from tests.helpers.served import picture, server, write_bundle

FETCH = """async ([address, text]) => {
  const body = text === null ? 'poison' : Uint8Array.from(atob(text), c => c.charCodeAt(0));
  const headers = {'Content-Type': 'image/png', 'Accept': 'image/png', 'X-Amzn-SageMaker-Custom-Attributes': 'id=7'};
  try {
    const answer = await fetch(address + '/invocations', {method: 'POST', body, headers});
    const bytes = (await answer.arrayBuffer()).byteLength;
    return [answer.status, answer.headers.get('X-Amzn-SageMaker-Custom-Attributes'), bytes > 0];
  } catch (error) { return String(error); }
}"""


class Empty(BaseHTTPRequestHandler):
    """An empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def origin() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as pages:
        threading.Thread(target=pages.serve_forever).start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()


@pytest.fixture
def page(browser: Browser, origin: str) -> Iterator[Page]:
    page = browser.new_page()
    page.goto(origin)
    yield page
    page.close()


@pytest.mark.parametrize("allowed", [True, False])
def test_a_page_of_another_origin_asks_where_it_is_allowed(
    page: Page, origin: str, tmp_path: Path, allowed: bool
) -> None:
    bundle = write_bundle(tmp_path / "model")
    flags = ("--allow-origin", origin) if allowed else ()
    arguments = ("-m", "segwright", "serve", bundle, "--port", "0", "--device", "cpu")
    with server(*arguments, *flags) as running:
        whole = page.evaluate(FETCH, [running.address, base64.b64encode(picture()).decode()])
        refused = page.evaluate(FETCH, [running.address, None])
    if allowed:
        assert (whole, refused) == ([200, "id=7", True], [400, "id=7", True])
    else:
        assert whole == refused == "TypeError: Failed to fetch"
