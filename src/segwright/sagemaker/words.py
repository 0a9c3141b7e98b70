"""A message that speaks of flags, in the words of a job, which has hyperparameters and channels instead.

Knows the flags of the command line that messages mention. Refuses to know who says what.
"""

import re
from typing import Final

from segwright.data.folders import CHANNELS
from segwright.hyperparameters import Hyperparameters

_FLAG: Final = re.compile(r"(?<![\w./-])--(no-)?([a-z][a-z0-9-]*)((?:=| )(?:DIR|FILE)\b)?")
_COMMAND: Final = re.compile(r"(segwright import-data colours) .+? --masks .+? --colours")
_PHRASES: Final = (
    ("Leave --apply-exif-orientation out", "Set apply_exif_orientation to False"),
    ("Add --apply-exif-orientation", "Set apply_exif_orientation to True"),
    ("add --apply-exif-orientation", "set apply_exif_orientation to True"),
    ("without --resume and with --overwrite", "with another S3Uri in CheckpointConfig"),
    ("--resume goes on training", "the next run with the same CheckpointConfig goes on training"),
    ("without --from", "without the channel model"),
    ("with --from", "with the channel model"),
    ("--resume:", "CheckpointConfig:"),
    ("Put them there, or point to them with ", "Add to InputDataConfig "),
    (" --device cpu says that it is meant.", ""),
    ("compute on the CPU with --device cpu", "take an instance without a GPU"),
    ("Name the attributes of image and mask, as in --attributes ", "Leave those of image and mask only, as in "),
    ("`segwright train --help` lists them all", "docs/hyperparameters.md lists them all"),
)
_OTHERS: Final = {
    "from": "the channel model",
    "class-names": "label_map/class_names.json",
    "checkpoints": "CheckpointConfig",
    "resume": "CheckpointConfig",
    "overwrite": "another S3Uri in CheckpointConfig",
    "attributes": "AttributeNames",
    "device": "the instance type",
    "strict": "a strict check",
}
"""Flags that are no hyperparameters; a job has no choice of a device, and no strict check."""


def in_words_of_a_job(sentence: str) -> str:
    """The sentence with `--crop-size` as `crop_size`, `--label-map FILE` as `the channel label_map`, and so on."""
    for phrase, words in _PHRASES:
        sentence = sentence.replace(phrase, words)
    sentence = _COMMAND.sub(r"\1 IMAGES --masks MASKS --colours", sentence)  # for a machine with other folders
    return _FLAG.sub(_translated, sentence)


def _translated(flag: re.Match[str]) -> str:
    negated, dashed, value = flag.groups()
    name = dashed.replace("-", "_")
    if name in CHANNELS:
        return f"the channel {name}"
    if name in Hyperparameters.model_fields:
        return f"{name} False" if negated else name + (value or "")
    return _OTHERS.get(dashed, flag[0])
