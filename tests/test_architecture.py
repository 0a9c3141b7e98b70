import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "segwright"
PAGE = (ROOT / "docs" / "architecture.md").read_text()
ROWS = {
    package: set(re.findall(r"`([a-z_0-9]+)/?`", contents))
    for packages, contents in re.findall(r"^\| \d+ \| (.*?) \| (.*) \|$", PAGE, re.MULTILINE)
    for package in re.findall(r"`(\w+)/?`", packages)
}
"""The packages and modules in the table of the page, and the modules in their rows."""


def _modules(folder: Path) -> set[str]:
    found = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    return found - {"__init__", "__main__"}


def test_imports_point_downwards() -> None:
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(lint)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:[a-z_]+\.)+\w+)`", PAGE))))
def test_what_the_page_names_exists(name: str) -> None:
    if name.endswith((".toml", ".md")):
        assert (ROOT / name).is_file()
        return
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(["segwright", *parts[:length]]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return
    pytest.fail(f"docs/architecture.md names {name}, which does not exist")


def test_the_table_names_all_packages() -> None:
    assert ROWS.keys() == _modules(SOURCE)


@pytest.mark.parametrize("package", sorted(path.parent.name for path in SOURCE.glob("*/__init__.py")))
def test_its_row_names_the_modules_of_a_package(package: str) -> None:
    assert ROWS[package] == _modules(SOURCE / package)
