"""What SageMaker reads from the log: names of metrics and the expressions that find them.

AWS registers the first five for its own images only, so whoever brings an image of his own passes them along, as
`metric_definitions` of an estimator or `MetricDefinitions` of CreateTrainingJob.

Source: SageMaker's contract, section 4.2.
"""

from typing import Final

METRIC_DEFINITIONS: Final[list[dict[str, str]]] = [
    {"Name": "validation:mIOU", "Regex": r"validation mIOU: (\S+)"},
    {"Name": "validation:pixel_accuracy", "Regex": r"pixel_accuracy: (\S+)"},
    {"Name": "train:loss", "Regex": r"train loss: (\S+)"},
    {"Name": "train:throughput", "Regex": r"train throughput: (\S+)"},
    {"Name": "validation:throughput", "Regex": r"validation throughput: (\S+)"},
]
"""The five that AWS registers for the original; each finds one value an epoch."""

FURTHER_METRIC_DEFINITIONS: Final[list[dict[str, str]]] = [
    {"Name": "validation:mIOU_present", "Regex": r"validation mIOU_present: (\S+)"},
    {"Name": "validation:IoU_class_0", "Regex": r"validation IoU_class_0: (\S+)"},
    {"Name": "validation:IoU_class_1", "Regex": r"validation IoU_class_1: (\S+)"},
]
"""What Segwright logs besides: the mean over the classes that occur, and each class by its number."""
