"""What a hyperparameter allows and what is wrong with a value, in words read off the fields of a pydantic model."""

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from segwright.wording import nearest

_LONGEST_VALUE: Final = 60

OTHER_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "learning_rate": ("lr", "base_lr", "initial_lr", "max_lr", "lr0"),
    "head_rate_factor": ("head_lr", "decoder_lr", "backbone_lr", "encoder_lr", "lr_mult"),
    "mini_batch_size": ("batch_size", "batch", "bs", "train_batch_size", "batch_size_per_gpu", "samples_per_gpu"),
    "validation_mini_batch_size": ("val_batch_size", "eval_batch_size", "validation_batch_size"),
    "accumulation": ("grad_accum", "gradient_accumulation", "gradient_accumulation_steps", "accumulate_grad_batches"),
    "epochs": ("max_epochs", "num_epochs", "n_epochs", "iterations", "iters", "max_iters", "max_iterations",
               "steps", "max_steps", "num_steps", "updates"),
    "algorithm": ("model", "arch", "architecture", "network", "net", "decoder", "head"),
    "backbone": ("encoder", "encoder_name", "model", "model_name", "timm_model"),
    "use_pretrained_model": ("pretrained", "imagenet"),
    "backbone_weights": ("weights", "encoder_weights", "pretrained_weights", "weights_file"),
    "num_classes": ("classes", "n_classes", "nc", "number_of_classes"),
    "output_stride": ("os", "stride", "encoder_output_stride"),
    "aux_loss": ("aux", "auxiliary", "deep_supervision"),
    "aux_weight": ("aux_loss_weight", "auxiliary_weight"),
    "base_size": ("image_size", "img_size", "imgsz", "size", "resize", "input_size", "resolution"),
    "crop_size": ("image_size", "img_size", "imgsz", "size", "input_size", "patch_size", "tile_size", "crop"),
    "bands": ("channels", "in_channels", "in_chans", "input_channels"),
    "augmentation_type": ("augment", "augmentation", "augmentations", "aug", "transforms"),
    "workers": ("num_workers", "n_workers", "dataloader_workers", "loader_workers"),
    "class_weights": ("class_weight", "balance", "balanced"),
    "precision_dtype": ("amp", "fp16", "bf16", "half", "mixed_precision", "precision", "dtype", "autocast"),
    "syncbn": ("sync_bn", "sync_batchnorm", "sync_batch_norm"),
    "logging_frequency": ("log_interval", "log_every", "log_every_n_steps", "print_freq"),
    "seed": ("random_seed", "random_state", "manual_seed"),
    "optimizer": ("optim", "opt", "optimiser"),
    "lr_scheduler": ("scheduler", "lr_schedule", "schedule", "lr_policy"),
    "lr_scheduler_factor": ("gamma", "lr_decay", "decay_factor"),
    "lr_scheduler_step": ("milestones", "lr_steps", "decay_epochs"),
    "warmup": ("warmup_epochs", "warmup_steps", "warmup_iters", "warmup_ratio"),
    "weight_decay": ("wd", "l2", "decay", "weight_decay_rate"),
    "early_stopping_patience": ("patience",),
    "early_stopping_tolerance": ("min_delta",),
    "device": ("gpu", "gpus", "cuda", "accelerator"),
    "output": ("save_dir", "work_dir", "project", "model_dir"),
    "from": ("weights", "checkpoint", "ckpt", "finetune", "fine_tune", "start_from", "pretrained_model"),
}  # fmt: skip
"""What other tools call a hyperparameter, or an option of `train`."""


def describe_errors(error: ValidationError, model: type[BaseModel]) -> str:
    """One message for all that pydantic found: name, value, what is allowed, nearest name or choice."""
    problems: dict[str, str] = {}
    for item in error.errors(include_url=False):
        name = str(item["loc"][0]) if item["loc"] else ""
        problems.setdefault(name, _problem(name, item, model) if name else f"{item['ctx']['error']}.")
    if len(problems) == 1:
        return next(iter(problems.values()))
    return f"{len(problems)} hyperparameters are wrong: " + " ".join(problems.values())


def allowed(field: FieldInfo) -> str:
    """What a field takes, as words that follow "it takes": "a whole number of at least 17"."""
    kind = plain_type(field)
    if choices := _choices(kind):
        words = "one of " + ", ".join(choices)
        numbers = ", or numbers from 0.000001 to 1000000, one for each class, such as 1, 5, 2"
        return words if get_origin(kind) is Literal else words + numbers
    if get_origin(kind) is tuple:
        return (
            "a comma-separated list of epochs, such as 10, 20" if ... in get_args(kind) else "two factors, as 0.5, 2.0"
        )
    if kind in (int, float):
        return "".join(f"{word}, or " for word in _choices(field.annotation)) + _range(field, whole=kind is int)
    return {bool: "True or False", str: "a name"}.get(kind, "the path of a file")


def suggest(word: str, known: Iterable[str], model: type[BaseModel]) -> str:
    """What to use in place of a name from other tools, with its meaning: `use epochs (passes over the training
    images)`; nothing for other words. `known` are hyperparameters, or their flags.
    """
    meant = word.replace("-", "").replace("_", "").casefold()
    uses = []
    for name in known:
        own = name.strip("-").replace("-", "_")
        if meant in (other.replace("_", "") for other in OTHER_NAMES.get(own, ())):
            text = (model.model_fields[own].description or "").rstrip(".") if own in model.model_fields else ""
            uses.append(f"{name} ({text[0].lower()}{text[1:]})" if text else name)
    return f"use {' or '.join(uses)}" if uses else ""


def plain_type(field: FieldInfo) -> Any:
    """The type of a field without ``| None`` and without annotations."""
    kind: Any = field.annotation
    if type(None) in get_args(kind):
        kind = next(option for option in get_args(kind) if option is not type(None))
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _choices(kind: Any) -> tuple[str, ...]:
    """The words that a type takes, alone or beside something else."""
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    return tuple(word for option in get_args(kind) for word in _choices(option))


def sections(model: type[BaseModel]) -> dict[str, dict[str, FieldInfo]]:
    """The fields of a model by the heading under which help and documents show them, in the order of definition."""
    grouped: dict[str, dict[str, FieldInfo]] = {}
    for name, field in model.model_fields.items():
        heading = field.json_schema_extra["section"] if isinstance(field.json_schema_extra, dict) else ""
        grouped.setdefault(str(heading), {})[name] = field
    return grouped


def _problem(name: str, item: Any, model: type[BaseModel]) -> str:
    text = json.dumps(item["input"], ensure_ascii=False) if isinstance(item["input"], str) else repr(item["input"])
    value = text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."
    if item["type"] == "extra_forbidden":
        guess, use = _nearest(name, model.model_fields), suggest(name, model.model_fields, model)
        advice = f"{use}." if use else f"did you mean {guess}?" if guess else "docs/hyperparameters.md lists them all."
        return f'There is no hyperparameter "{name}" (given as {value}); {advice}'
    field = model.model_fields[name]
    guess = _nearest(str(item["input"]), _choices(field.annotation))
    return (
        f"{name} is {value}; it takes {allowed(field)}"
        + (", or can be left out." if field.default is None else ".")
        + (f" Did you mean {guess}?" if guess else "")
    )


def _nearest(word: str, words: Iterable[str]) -> str | None:
    """The most similar of some words, or None when none is similar; case and hyphens do not count."""
    return next(iter(nearest(word.strip("-_").replace("-", "_"), words)), None)


def _range(field: FieldInfo, *, whole: bool) -> str:
    """The range of a number; open ends of whole numbers are closed by going one further: above 16 is at least 17."""
    options = [option for option in get_args(field.annotation) if get_origin(option) is Annotated]
    stated = [*field.metadata, *(item for option in options for item in option.__metadata__[0].metadata)]
    bounds = {name: getattr(item, name) for item in stated for name in ("gt", "ge", "lt", "le") if hasattr(item, name)}
    if whole:
        lowest = bounds["gt"] + 1 if "gt" in bounds else bounds["ge"]
        highest = bounds["lt"] - 1 if "lt" in bounds else bounds.get("le")
        return "a whole number" + (f" of at least {lowest}" if highest is None else f" from {lowest} to {highest}")
    if bounds.keys() == {"gt"}:
        return f"a number above {bounds['gt']}"
    if "gt" not in bounds and "lt" not in bounds:
        return f"a number from {bounds['ge']} to {bounds['le']}"
    lower = f"above {bounds['gt']}" if "gt" in bounds else f"of at least {bounds['ge']}"
    upper = f"below {bounds['lt']}" if "lt" in bounds else f"at most {bounds['le']}"
    return f"a number {lower} and {upper}"
