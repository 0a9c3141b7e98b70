"""Files that an earlier version wrote, kept small: their JSON and small tensors as they were, large tensors redrawn.

`pack` made tests/data/earlier_version; `unpack` writes a safetensors file of the same names, shapes, dtypes and facts.
"""

import hashlib
import json
import zlib
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file, save

LARGEST_KEPT = 2048


def pack(file: Path, to: Path) -> None:
    with safe_open(file, "np") as opened:
        metadata = opened.metadata()
    tensors = load_file(file)
    kept = {name: value for name, value in tensors.items() if value.size <= LARGEST_KEPT or value.dtype != np.float32}
    redrawn = {name: value.shape for name, value in tensors.items() if name not in kept}
    to.with_suffix(".json").write_text(json.dumps({"metadata": metadata, "redrawn": redrawn}, indent=1))
    np.savez_compressed(to.with_suffix(".npz"), allow_pickle=False, **kept)


def unpack(packed: Path) -> bytes:
    described = json.loads(packed.with_suffix(".json").read_text())
    with np.load(packed.with_suffix(".npz")) as kept:
        tensors = {name: kept[name] for name in kept.files}
    for name, shape in described["redrawn"].items():
        drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape) * 0.03
        tensors[name] = (abs(drawn) if name.endswith("exp_avg_sq") else drawn).astype(np.float32)
    return save(tensors, described["metadata"])


def checkpoint_file(packed: Path, folder: Path) -> None:
    """Write a packed checkpoint under the name that it had: number and digest."""
    data = unpack(packed)
    folder.mkdir()
    (folder / f"checkpoint-00000001-{hashlib.sha256(data).hexdigest()}.safetensors").write_bytes(data)
