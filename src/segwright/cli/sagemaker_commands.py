"""The commands of the container image: `docker run IMAGE train` is `segwright container train`."""

import json
import os
import sys

from cyclopts import App

from segwright.cli.shared import app
from segwright.standard_streams import OUTPUT

container = App(
    name=("container", "sagemaker"),
    help="The entries of the SageMaker container: training jobs and endpoints below /opt/ml.",
    sort_key=20,
)
app.command(container)


@container.command
def train() -> None:
    """Run the training job in /opt/ml/input and write the model to /opt/ml/model."""
    from segwright.sagemaker.launcher import rank
    from segwright.sagemaker.paths import Paths
    from segwright.sagemaker.termination import stop_on_sigterm

    paths = Paths.from_environment(os.environ)

    def on_deadline() -> int:
        from segwright.sagemaker.train import end_overdue

        return end_overdue(paths)

    with stop_on_sigterm(on_deadline if rank() is None else None) as stop:
        from segwright.sagemaker.train import run_training

        status = run_training(paths, stop)
    sys.exit(status)


@container.command
def serve() -> None:
    """Serve the model in /opt/ml/model, or several below /opt/ml/models."""
    from segwright.sagemaker.paths import Paths
    from segwright.sagemaker.serve import run_serving

    run_serving(Paths.from_environment(os.environ))


@container.command
def metric_definitions() -> None:
    """Print the metric definitions to pass with a job, as JSON."""
    from segwright.sagemaker import METRIC_DEFINITIONS

    print(json.dumps(METRIC_DEFINITIONS, indent=2), file=OUTPUT)
