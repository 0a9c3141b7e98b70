import pytest

from segwright.importers.dataset import safe_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("street/one two.jpg", "street/one two"),
        ("a.b.JPEG", "a.b"),
        ("no ending.2024", "no ending.2024"),
        ("../../etc/passwd", "_./_./etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("..\\up.png", "_./up"),
        ("C:\\data\\x.png", "C_/data/x"),
        (".hidden/.jpg", "_hidden/_jpg"),
        ("train_annotation/validation/x.png", "train_annotation_/validation_/x"),
        ("...jpg", "_."),
        ("line\nbreak\0\ud800.jpg", "line_break__"),
        ("", "_"),
        ("//", "_"),
    ],
)
def test_keys_are_safe_to_write(name: str, key: str) -> None:
    assert safe_key(name) == key
