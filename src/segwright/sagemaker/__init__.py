"""SageMaker's contract: the tree below `/opt/ml`, the entries `train` and `serve`, the log lines, the failure file.

`tree` says where things lie, `job` what a training job asks for, `inputs` what its channels are, `settings` what its
hyperparameters are, `earlier` what came in the channel `model`. `training` and `hosting` are the two entries,
`launching` starts one process a GPU, `termination` hears SIGTERM. `lines` is the language of the log, `metrics` what
SageMaker reads from it, `words` turns flags into a job's words.

Source: SageMaker's contract, sections 4 and 6.
"""

from segwright.sagemaker.metrics import FURTHER_METRIC_DEFINITIONS, METRIC_DEFINITIONS

__all__ = ["FURTHER_METRIC_DEFINITIONS", "METRIC_DEFINITIONS"]
