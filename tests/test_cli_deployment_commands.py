import pytest

from segwright.cli import main


def test_serve_passes_on_which_pages_may_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("segwright.serving.serve", lambda _bundle, settings: asked.append(settings.allow_origin))
    assert main(["serve", "bundle"]) == 0
    assert main(["serve", "bundle", "--allow-origin", "http://a", "--allow-origin", "*"]) == 0
    assert asked == [(), ["http://a", "*"]]


def test_serve_passes_on_how_large_images_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr("segwright.serving.serve", lambda _bundle, settings: asked.append(settings.max_pixels))
    assert main(["serve", "bundle"]) == 0
    assert main(["serve", "bundle", "--max-pixels", "400000000"]) == 0
    assert asked == [178_956_970, 400_000_000]


def test_what_is_no_origin_is_refused_before_the_server_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "bundle", "--allow-origin", "a.example"]) == 2
    assert capsys.readouterr().err.startswith("error: allow_origin is a.example;")
