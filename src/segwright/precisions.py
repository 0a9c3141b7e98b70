"""Number formats: their names, what each may cost, and how exactly each is to be computed."""

from typing import Final, Literal, get_args

Precision = Literal["float32", "bfloat16", "float16", "int8", "auto"]
"""What trained models are computed in; auto: the fastest that is proven."""
PRECISIONS: Final[tuple[str, ...]] = get_args(Precision)
ExportPrecision = Literal["float32", "bfloat16", "int8"]
"""What exported models are computed in."""

MAX_FALL: Final = 0.5
"""Points, hundredths of mean IoU, that an export may lose unless asked otherwise; `auto` takes none that loses more."""
MAX_FALL_BFLOAT16: Final = 0.1
"""Points that bfloat16 may lose where `auto` takes it."""

LOGITS_TOLERANCE: Final[dict[ExportPrecision, float]] = {"float32": 1e-3, "bfloat16": 0.1, "int8": 0.5}
"""How far an exported model's logits may be from PyTorch's in float32, as a share of the largest of those. Rounding
gives some 1e-6 and 1e-2; what int8 may cost is judged by mean IoU, and more than this is nonsense."""
