import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from starlette.exceptions import HTTPException

from segwright.errors import BundleError
from segwright.inference import Model
from segwright.serving import multi_model
from segwright.serving.multi_model import ModelStore
from tests.helpers.mxnet_params_writer import write_params

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def no_tidying(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests hold no model worth half a second of giving its memory back."""
    monkeypatch.setattr(multi_model, "return_freed_memory", lambda: None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / "models" / name / "model").mkdir(parents=True)
    (tmp_path / "models" / "a" / "model" / "model.safetensors").write_bytes(bytes(1000))
    return tmp_path / "models"


def store(root: Path, load: Any = lambda directory: cast(Model, f"model of {directory.parent.name}")) -> ModelStore:
    return ModelStore(root, load, CPU)


def refused(action: Coroutine[Any, Any, Any]) -> tuple[int, str]:
    with pytest.raises(HTTPException) as caught:
        asyncio.run(action)
    return caught.value.status_code, caught.value.detail


def test_models_come_and_go(root: Path) -> None:
    async def run() -> None:
        models = store(root)
        await models.load("first", str(root / "a" / "model"))
        with models.borrow("first") as model:
            assert cast(str, model) == "model of a"
        assert models.describe("first") == {"modelName": "first", "modelUrl": str(root / "a" / "model")}
        await models.unload("first")
        assert models.page("") == {"models": []}
        await models.load("first", str(root / "b" / "model"))

    asyncio.run(run())


def test_an_unknown_model_is_404(root: Path) -> None:
    assert refused(store(root).unload("x"))[0] == 404
    with pytest.raises(HTTPException, match="The model x is not loaded"), store(root).borrow("x"):
        pass
    with pytest.raises(HTTPException, match="POST /models"):
        store(root).describe("x")


def test_a_name_is_taken_once_even_while_it_is_loaded(root: Path) -> None:
    async def run() -> list[int]:
        models = store(root)
        both = [models.load("one", str(root / name / "model")) for name in "ab"]
        results = await asyncio.gather(*both, return_exceptions=True)
        return [result.status_code for result in results if isinstance(result, HTTPException)]

    assert asyncio.run(run()) == [409]


def test_models_come_from_below_the_root_only(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (root / "link").symlink_to(outside)
    (root / "there").symlink_to(root / "back")
    (root / "back").symlink_to(root / "there")
    below = (f"{root}/link", f"{root}/../elsewhere", f"{root}/there")
    for url in (str(outside), *below, str(root), "/", "", "bad\0path"):
        status, sentence = refused(store(root).load("x", url))
        assert status == 400 and "url" in sentence, url
    assert refused(store(root).load("x", str(root / "nothing")))[0] == 404
    assert refused(store(root).load("", str(root / "a" / "model")))[0] == 400
    assert refused(store(root).load("a/b", str(root / "a" / "model")))[0] == 400


def test_a_models_files_lie_below_the_root_as_well(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.safetensors"
    outside.write_bytes(b"weights")
    (root / "linked").mkdir()
    (root / "linked" / "model.safetensors").symlink_to(outside)
    status, sentence = refused(store(root).load("linked", str(root / "linked")))
    assert status == 400 and "with all their files, below" in sentence


def test_a_damaged_model_is_refused_and_leaves_nothing(root: Path) -> None:
    def load(directory: Path) -> Model:
        raise BundleError("bundle.json is damaged")

    models = store(root, load)
    assert refused(models.load("x", str(root / "a" / "model"))) == (400, "bundle.json is damaged")
    assert models.page("") == {"models": []}


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_no_memory_while_loading_is_507(root: Path, error: Exception) -> None:
    def load(directory: Path) -> Model:
        raise error

    assert refused(store(root, load).load("x", str(root / "a" / "model")))[0] == 507


@pytest.fixture
def original(root: Path) -> Path:
    """A model of the original algorithm whose file has half the bytes that its weights will take."""
    folder = root / "c" / "model"
    weights = {"a": np.zeros(300, np.float16), "b": np.zeros((10, 20), np.float16)}
    (folder / "model_best.params").write_bytes(write_params(weights.items()))
    return folder


@pytest.mark.parametrize("short", [CPU, GPU])
def test_a_model_that_would_not_fit_is_507_but_the_first_may_try(
    root: Path, original: Path, monkeypatch: pytest.MonkeyPatch, short: torch.device
) -> None:
    sizes = {str(root / "a" / "model"): 1000, str(original): 4 * 500}
    left = {CPU: 1 << 40, GPU: 1 << 40}
    monkeypatch.setattr(multi_model, "available_memory", lambda: left[CPU])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _device: (left[GPU], 1 << 40))

    async def run() -> None:
        models = ModelStore(root, lambda _: cast(Model, "model"), GPU)
        left[short] = 0
        await models.load("first", str(root / "a" / "model"))
        for url, size in sizes.items():
            left[short] = 2 * size + (512 << 20) - 1
            with pytest.raises(HTTPException, match="unload another model first") as caught:
                await models.load("second", url)
            assert caught.value.status_code == 507
            left[short] += 1
            await models.load("second", url)
            await models.unload("second")

    asyncio.run(run())


def test_a_model_in_use_is_unloaded_when_its_requests_are_done(root: Path) -> None:
    async def run() -> list[str]:
        models, seen = store(root), []
        await models.load("first", str(root / "a" / "model"))
        with models.borrow("first"):
            pass  # an earlier request, which is done

        async def unload() -> None:
            await models.unload("first")
            seen.append("unloaded")

        with models.borrow("first"):
            with models.borrow("first"):
                unloading = asyncio.create_task(unload())
                await asyncio.sleep(0.02)
                with pytest.raises(HTTPException), models.borrow("first"):
                    pass
                seen.append("one is done")
            await asyncio.sleep(0.02)
            seen.append("both are done")
        await unloading
        return seen

    assert asyncio.run(run()) == ["one is done", "both are done", "unloaded"]


def test_the_list_comes_in_pages(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multi_model, "PAGE", 2)

    async def run() -> list[str]:
        models, names, token = store(root), [], ""
        for index in range(5):
            await models.load(f"m{index}", str(root / "a" / "model"))
        while True:
            page = models.page(token)
            assert len(page["models"]) <= 2
            names += [entry["modelName"] for entry in page["models"]]
            if "nextPageToken" not in page:
                return names
            token = page["nextPageToken"]
            await models.unload(token)  # what goes meanwhile disturbs nothing

    assert asyncio.run(run()) == ["m0", "m1", "m2", "m3", "m4"]
