import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "segwright"
TESTS = ROOT / "tests"
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


CROSS_CUTTING = {
    "architecture": "imports, pages and tests have the shape that the documents promise",
    "checks_differential": "inspect refuses what train refuses, on random data sets",
    "dockerfile": "the image, as far as it can be judged without a builder",
    "docs_links": "links within the documents",
    "docs_sagemaker": "what the SageMaker page says of requests, against boto3",
    "earlier_files": "bundles and checkpoints of earlier versions",
    "end_to_end": "the commands one after the other",
    "fuzz": "damaged bytes in every reader",
    "importers_tools": "small exports as tools write them",
    "messages": "the wording of messages",
    "names_from_outside": "paths that lead out, wherever a name comes from",
    "sagemaker_messages": "no flag in what a job logs",
    "sagemaker_read_only": "a job on a read-only root file system",
    "sagemaker_stopping": "jobs that are stopped or killed",
    "sagemaker_streams": "jobs in Pipe mode that are resumed",
    "serving_processes": "the server from outside",
    "training_bands": "images of any bands, from files to masks",
    "training_gluoncv": "recorded steps of GluonCV",
    "training_streams": "trainings in Pipe mode",
}
"""Test modules that belong to no single module, and what they are about."""


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


def test_tests_are_found_by_the_name_of_their_module() -> None:
    """A test module is named after a module or package, or after a module and one aspect of it."""
    modules = {"_".join(path.relative_to(SOURCE).with_suffix("").parts) for path in SOURCE.rglob("*.py")}
    packages = {module.removesuffix("___init__") for module in modules}
    tests = {path.stem.removeprefix("test_") for path in TESTS.glob("test_*.py")} - packages
    without_module = {test for test in tests if not any(f"{test}_".startswith(f"{module}_") for module in modules)}
    assert without_module == CROSS_CUTTING.keys()


def test_no_test_module_is_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in TESTS.rglob("*.py")}
    assert {path.name for path, length in lengths.items() if length > 400} == set()
