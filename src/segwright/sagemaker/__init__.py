"""SageMaker's contract for containers: the entries `train` and `serve` on what lies below `/opt/ml`.

AWS registers the first five metrics for its own images only: jobs with another image bring them along, as
`metric_definitions` of an estimator or `MetricDefinitions` of CreateTrainingJob (SageMaker's contract, section 4.2).
"""

from typing import Final

METRIC_DEFINITIONS: Final[list[dict[str, str]]] = [
    {"Name": "validation:mIOU", "Regex": r"validation mIOU: (\S+)"},
    {"Name": "validation:pixel_accuracy", "Regex": r"pixel_accuracy: (\S+)"},
    {"Name": "train:loss", "Regex": r"train loss: (\S+)"},
    {"Name": "train:throughput", "Regex": r"train throughput: (\S+)"},
    {"Name": "validation:throughput", "Regex": r"validation throughput: (\S+)"},
]
"""The five of the original, and the expressions that find their values in the log, once an epoch."""

FURTHER_METRIC_DEFINITIONS: Final[list[dict[str, str]]] = [
    {"Name": "validation:mIOU_present", "Regex": r"validation mIOU_present: (\S+)"},
    {"Name": "validation:IoU_class_0", "Regex": r"validation IoU_class_0: (\S+)"},
    {"Name": "validation:IoU_class_1", "Regex": r"validation IoU_class_1: (\S+)"},
]
"""Segwright's own: the mean over the classes that occur, and each class by its number."""
