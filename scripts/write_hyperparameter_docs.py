"""Write docs/hyperparameters.md, docs/hyperparameters.schema.json and docs/recipes.md from the definition in the code.

Usage: python scripts/write_hyperparameter_docs.py [DIRECTORY, by default docs]
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from segwright.hyperparameter_help import allowed, sections
from segwright.hyperparameters import Hyperparameters
from segwright.recipes import CHOSEN_IN_BEST

CHOSEN = "chosen"

INTRODUCTION = """\
<!-- Written by scripts/write_hyperparameter_docs.py from src/segwright/hyperparameters.py: edit there. -->

# Hyperparameters

All settings of a training: those of SageMaker's built-in semantic segmentation algorithm, with its names,
values and defaults, and a few more. On the command line they are flags (`--learning-rate 0.01` or
`--learning_rate 0.01`), in Python the fields of `segwright.Hyperparameters`, in a job SageMaker's
hyperparameters. [hyperparameters.schema.json](hyperparameters.schema.json) is their JSON schema.

The columns of defaults are the two [recipes](recipes.md); `--recipe sagemaker` selects the original's. "chosen" is
what `best` chooses by data and device.
`momentum` and `weight_decay` may be 0, unlike in SageMaker's algorithm.

In a job every value is a string. Booleans are read in any case (`True`, `true`, `1`, `yes`), and one pair of
double quotes round a value is dropped. `workers`, `aux_loss`, `aux_weight`, `augmentation_type` and
`logging_frequency` may start with an underscore, as SageMaker writes them. Other names that start with `_` or
`sagemaker_` belong to SageMaker or MXNet (`_kvstore`, `_num_kv_servers`, `_hybrid`, `_tuning_objective_metric`,
...) and are ignored, with a line in the log. Any other unknown name is an error.
"""


RECIPES = """\
<!-- Written by scripts/write_hyperparameter_docs.py: edit there. -->

# The two recipes

A recipe is a set of defaults for the [hyperparameters](hyperparameters.md). The command line and Python use
**best** ([benchmarks](../benchmarks/README.md#the-recipe-best)), jobs use **sagemaker**, the original's
training as far as it is known ([compatibility.md](compatibility.md)). Any value can be overridden (`--recipe
sagemaker --epochs 50`); the log names the recipe and the overridden values. Values that differ are **bold**.

## How `best` configures itself

`best` measures the labels of up to 200 training images before it trains, and chooses what was not given. The log
says each choice with its reason, and the trained model keeps the values. In Pipe mode nothing can be measured
beforehand, so those values stay as in the table below.

| Chosen | By | Rule |
| --- | --- | --- |
| `backbone` | weights, device | what the file of weights fits; else `tf_efficientnet_lite0` on CPUs, `resnet-50` |
| `image_scale` | sizes, thinnest class | 1; above 1024 pixels (GPUs: 2048) less, but no class below 8 pixels |
| `output_stride` | device | 32 on CPUs, where 16 takes half as long again, else 16; not for `smp:` |
| `decoder_output_stride` | widths | 1 if half the classes are up to 6 pixels wide, 2 if one is up to 12, else 4 |
| `crop_size` | sizes, device | 256 pixels on CPUs, else 512, and no more than a typical image |
| `mini_batch_size` | device | 8 on a CPU, 16 elsewhere |
| `scale_range` | up | 0.5 to 2 for scenes (things near and far), else 0.7 to 1.4; small images less reduced |
| `flips` | up, left | none where left and right differ (left and right lung); `both` without an up |
| `rotation` | up, left, direction | any angle where labels have none of them |
| `photometric` | whether colour tells classes | 0.5; 0 where colour alone tells nine pixels in ten; `blur` is 0 |
| `class_weights` | shares | `auto` where a class has less than half an even share |
| `head_rate_factor` | `use_pretrained_model` | 1 where nothing is pretrained |
| `repeats`, `epochs` | images, device | 3,000 updates on CPUs, else 10,000, and ten passes, or as `minutes` allow |

Small data sets are repeated (`repeats`) until an epoch has 50 updates; `epochs` that are given are plain passes over
the images, so `minutes` is the better way to train longer or shorter. No rule chooses `balanced_crops`, which gained
nothing where it was tried, or a `loss`, of which only cross-entropy is measured so far
([benchmarks](../benchmarks/README.md#the-recipe-best)).

The width of a class is that of a strip as wide as its parts typically are, by distances to the nearest edge, in pixels
of the training, that is after `image_scale`. `smp:` networks have decoders of their own and no rule for them. Labels
have an up, a left or a direction where classes lie or touch so consistently over the images that chance does not
explain it; with fewer than eight images, they count as having an up and a direction.

In `best` a new network's last layers start from the logarithms of the classes' shares of pixels, in `sagemaker` from
zero.

At the end of a training in `best`, rare classes are named more or less often where that raises mean IoU on the
validation images by 0.002 or more: the last layer's bias gets minus the logarithms of the shares, times one of seven
factors (`class_bias` in `bundle.json`). It is part of the weights and costs nothing in prediction.

Learning rate and weight decay of `best` are for AdamW: with another optimizer, `sagemaker`'s apply unless they
are set.

## Losses

Ignored pixels change nothing in any `loss`. `sagemaker` has cross-entropy only; other losses need `update_rule mean`.

| `loss` | What it is | When | `class_weights` |
| --- | --- | --- | --- |
| `cross-entropy` | mean over pixels | well-balanced classes; with `class_weights`, rare ones | yes |
| `ohem` | its mean over hard pixels: probability below 0.7, or the worst 1/16 | most pixels are learnt soon | yes |
| `focal` | cross-entropy in which pixels known well fade (gamma 2) | as `ohem`, without a threshold | yes |
| `dice` | 1 - soft Dice, mean over the classes in the batch | Dice is the measure, and one class is far rarer | no |
| `lovasz` | a surrogate of 1 - IoU, mean over the classes in the batch | fine-tuning for mean IoU; slow on CPUs | no |
| `cross-entropy+dice` | both, with equal weights | vessels, cells, lesions: little foreground | for the first |
| `cross-entropy+lovasz` | both, with equal weights | many classes, some of them rare | for the first |

Dice and Lovász-softmax count all classes alike, so they take no weights. They see the images that a process has in one
part of a batch: the larger it is, the steadier they are, and `accumulation` makes it smaller. A list of
`class_weights` multiplies the loss as it stands; `auto` has a mean of 1 over all pixels. In both, half of what weights
do to the logits is taken back, so that rare classes are not predicted too often
([benchmarks](../benchmarks/README.md#the-recipe-best)). With `dice` and `lovasz` alone, last layers start from zero.
"""


def defaults() -> dict[str, dict[str, Any]]:
    """The defaults of both recipes."""
    return {name: dict(Hyperparameters.model_validate({"recipe": name})) for name in ("best", "sagemaker")}


def page() -> str:
    """The page of hyperparameters: the introduction, then a table for each section of the model."""
    grouped = sections(Hyperparameters)
    del grouped["Recipe"]
    both = defaults()
    heads = ("Name", "Values", *(f"`{recipe}`" for recipe in both), "Meaning")
    tables = []
    for title, fields in grouped.items():
        rows = [
            (
                f"`{name}`",
                allowed(field),
                CHOSEN if name in CHOSEN_IN_BEST else _shown(both["best"][name]),
                _shown(both["sagemaker"][name]),
                str(field.description),
            )
            for name, field in fields.items()
        ]
        tables.append(f"## {title}\n\n{markdown_table(heads, rows)}\n")
    return "\n".join([INTRODUCTION, *tables])


def recipes_page() -> str:
    """The page of recipes: one table for each."""
    both = defaults()
    differ = {name for name, value in both["best"].items() if value != both["sagemaker"][name]} | {*CHOSEN_IN_BEST}
    tables = []
    for recipe, values in both.items():
        rows = [
            (
                f"**`{name}`**" if name in differ else f"`{name}`",
                f"{CHOSEN}; else {_shown(value)}" if recipe == "best" and name in CHOSEN_IN_BEST else _shown(value),
            )
            for name, value in values.items()
            if name != "recipe"
        ]
        tables.append(f"## `{recipe}`\n\n{markdown_table(('Name', 'Value'), rows)}\n")
    return "\n".join([RECIPES, *tables])


def markdown_table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, a line a row."""
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, ["---"] * len(heads), *rows])


def _shown(default: object) -> str:
    return "none" if default is None else f"`{default}`"


def schema() -> str:
    """The JSON schema as pydantic gives it, indented, with the defaults of both recipes where they differ."""
    document = Hyperparameters.model_json_schema()
    both = defaults()
    for name, field in document["properties"].items():
        if name != "recipe" and both["best"][name] != both["sagemaker"][name]:
            field["default"], field["default_in_sagemaker"] = both["best"][name], both["sagemaker"][name]
    return json.dumps(document, indent=2) + "\n"


def main() -> None:
    """Write the pages into the directory named on the command line."""
    directory = Path(sys.argv[1] if len(sys.argv) > 1 else "docs")
    (directory / "hyperparameters.md").write_text(page(), encoding="utf-8")
    (directory / "recipes.md").write_text(recipes_page(), encoding="utf-8")
    (directory / "hyperparameters.schema.json").write_text(schema(), encoding="utf-8")


if __name__ == "__main__":
    main()
