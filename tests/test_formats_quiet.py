import logging
import subprocess
import sys
import warnings

import pytest

IMPORTS = """
import logging, pkgutil, sys, warnings
import segwright
assert "torch" not in sys.modules, "import segwright imports torch"
import torch
import segwright.networks, timm  # in this order: see segwright.networks.torchvision_schemas
import boto3, cv2, PIL.Image, PIL.ImageFile, pydantic, rich, simplejpeg, starlette, sympy, tifffile, uvicorn

def state():
    named = logging.root.manager.loggerDict.items()
    loggers = {"": logging.root, **{name: each for name, each in named if isinstance(each, logging.Logger)}}
    return {
        "loggers": {
            name: (each.level, each.disabled, each.propagate, [*each.handlers], [*each.filters])
            for name, each in loggers.items()
        },
        "warning filters": [*warnings.filters],
        "Pillow": (PIL.Image.MAX_IMAGE_PIXELS, PIL.ImageFile.LOAD_TRUNCATED_IMAGES),
        "cv2": (cv2.getNumThreads(), cv2.useOptimized()),
        "torch": (torch.get_num_threads(), torch.backends.cudnn.benchmark),
    }

before = state()
for module in pkgutil.walk_packages(segwright.__path__, "segwright."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
after = state()
for name, kept in after["loggers"].items():  # those that others make at their import are theirs
    if name not in before["loggers"] and name.startswith(("segwright", "PIL", "tifffile")):
        assert kept == (logging.NOTSET, False, True, [], []), (name, kept)
after["loggers"] = {name: after["loggers"][name] for name in before["loggers"]}
for name in before:
    assert before[name] == after[name], (name, before[name], after[name])
"""


def test_an_import_of_the_package_changes_nothing_in_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("quiet_decoders")
def test_entry_points_silence_the_decoders() -> None:
    assert not logging.getLogger("PIL.TiffImagePlugin").isEnabledFor(logging.ERROR)
    assert not logging.getLogger("tifffile").isEnabledFor(logging.CRITICAL)
    warnings.warn_explicit("odd tag", UserWarning, "TiffImagePlugin.py", 1, module="PIL.TiffImagePlugin")
