"""What the snippets of `docs/sagemaker.md` have to ask of SageMaker, by whichever SDK they do it.

Each check has the name of a snippet. Training jobs are followed further than AWS's model of a request: to the tree
below `/opt/ml`, and to what Segwright's container reads in it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
import numpy as np

from segwright.bundle import ClassDescription
from segwright.sagemaker import METRIC_DEFINITIONS
from segwright.sagemaker.hyperparameters import read_hyperparameters
from segwright.sagemaker.job import ChannelConfig, Job
from segwright.sagemaker.paths import Paths
from segwright.serving.accept import ResponseFormat, negotiate
from segwright.serving.encoding import encode
from tests.conftest import blocks
from tests.helpers.loopback_aws import REGION, Recorder, loopback_aws
from tests.helpers.sagemaker_tree import ml_tree_from_request

PAGE: Final = Path(__file__).parents[2] / "docs" / "sagemaker.md"
IMAGE: Final = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/segwright:0.1.0"
ROLE: Final = "arn:aws:iam::123456789012:role/SageMakerRole"
DATA: Final = "s3://my-bucket/roads"
MODEL: Final = f"{DATA}/output/old-job/output/model.tar.gz"
COMPACT: Final = "application/x-npy;output=probabilities;dtype=float16;gzip=1"
CHANNELS: Final = {
    "train": "image/jpeg",
    "validation": "image/jpeg",
    "train_annotation": "image/png",
    "validation_annotation": "image/png",
    "label_map": "application/json",
}
GPU_ENDPOINT: Final = "al2-ami-sagemaker-inference-gpu-2-1"
GPU_TRANSFORM: Final = "al2-ami-sagemaker-batch-gpu-535"
"""What brings an NVIDIA driver that PyTorch can use: `docs/instances.md`, "Drivers of endpoints"."""

CLASSES: Final = [ClassDescription(index=index, name=f"class {index}", colour=(index, 0, 9)) for index in range(3)]
MASK: Final = blocks(seed=1, height=12, width=16)[1]
PROBABILITIES: Final = np.eye(3, dtype=np.float32)[MASK].transpose(2, 0, 1).copy()


def answer(accept: str) -> bytes:
    """What Segwright's server answers about the one picture of these tests."""
    form = negotiate(accept, ResponseFormat())
    return encode(PROBABILITIES.astype(form.dtype) if form.probabilities else MASK, form, CLASSES)


@contextmanager
def aws_with_objects() -> Iterator[tuple[str, Recorder]]:
    """AWS on loopback, with what the document's bucket holds."""
    with loopback_aws(answer) as (address, aws):
        keys = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
        s3 = boto3.client("s3", endpoint_url=address, region_name=REGION, **keys)
        s3.create_bucket(Bucket="my-bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
        for key in ("photos/large.jpg", "models/berlin.tar.gz", "output/old-job/output/model.tar.gz"):
            s3.put_object(Bucket="my-bucket", Key=f"roads/{key}", Body=b"-")
        s3.put_object(Bucket="my-bucket", Key="roads/answers/1.out", Body=answer(COMPACT))
        s3.close()
        yield address, aws


def check_train(aws: Recorder, root: Path) -> None:
    request, job = _training(aws, "train", root)
    assert job.channels == dict.fromkeys(CHANNELS, ChannelConfig("File", "None"))
    assert {channel["ChannelName"]: channel["ContentType"] for channel in request["InputDataConfig"]} == CHANNELS
    assert _places(request) == {name: f"{DATA}/{name}/" for name in CHANNELS}
    assert request["OutputDataConfig"]["S3OutputPath"] == f"{DATA}/output"
    assert request["StoppingCondition"] == {"MaxRuntimeInSeconds": 24 * 3600}
    assert job.checkpoints is None


def check_manifest(aws: Recorder, root: Path) -> None:
    request, job = _training(aws, "manifest", root)
    assert job.channels == dict.fromkeys(("train", "validation"), ChannelConfig("Pipe", "RecordIO"))
    for channel in request["InputDataConfig"]:
        source = channel["DataSource"]["S3DataSource"]
        assert source["S3DataType"] == "AugmentedManifestFile"
        assert source["S3Uri"] == f"{DATA}/{channel['ChannelName']}.manifest"
        assert source["AttributeNames"] == ["source-ref", "road-ref"]
        assert channel["ShuffleConfig"] == {"Seed": 1}
    assert not any((root / "input" / "data").iterdir())


def check_incremental(aws: Recorder, root: Path) -> None:
    request, job = _training(aws, "incremental", root)
    assert job.channels == dict.fromkeys((*CHANNELS, "model"), ChannelConfig("File", "None"))
    assert _places(request)["model"] == MODEL
    [channel] = [entry for entry in request["InputDataConfig"] if entry["ChannelName"] == "model"]
    assert (channel["ContentType"], channel["InputMode"]) == ("application/x-sagemaker-model", "File")


def check_spot(aws: Recorder, root: Path) -> None:
    request, job = _training(aws, "spot", root)
    assert request["EnableManagedSpotTraining"] is True
    assert request["CheckpointConfig"]["S3Uri"] == f"{DATA}/checkpoints/"
    assert request["StoppingCondition"]["MaxWaitTimeInSeconds"] > request["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert job.checkpoints == root / "checkpoints"
    assert job.checkpoints.is_dir()


def check_tune(aws: Recorder, root: Path) -> None:
    [request] = aws.asked("tune", "CreateHyperParameterTuningJob")
    tuning, training = request["HyperParameterTuningJobConfig"], request["TrainingJobDefinition"]
    objective = tuning["HyperParameterTuningJobObjective"]
    assert objective == {"Type": "Maximize", "MetricName": "validation:mIOU"}
    assert training["AlgorithmSpecification"]["TrainingImage"] == IMAGE
    assert training["AlgorithmSpecification"]["MetricDefinitions"] == METRIC_DEFINITIONS
    assert _places(training) == {name: f"{DATA}/{name}/" for name in CHANNELS}
    fixed = training["StaticHyperParameters"]
    for number in (0, -1):
        drawn = dict(_ends(tuning["ParameterRanges"], number))
        assert not drawn.keys() & fixed.keys()
        read_hyperparameters({**fixed, **drawn, "_tuning_objective_metric": objective["MetricName"]})


def check_deploy(aws: Recorder, root: Path) -> None:
    [model] = aws.asked("deploy", "CreateModel")
    assert (model["ExecutionRoleArn"], model["PrimaryContainer"]["Image"]) == (ROLE, IMAGE)
    assert model["PrimaryContainer"]["ModelDataUrl"] == MODEL
    assert _variant(aws, "deploy")["InstanceType"] == "ml.c5.2xlarge"
    [invocation] = aws.asked("deploy", "InvokeEndpoint")
    assert invocation.pop("Body")[:2] == b"\xff\xd8"
    assert invocation == {
        "EndpointName": "roads",
        "ContentType": "image/jpeg",
        "Accept": "image/png",
        "CustomAttributes": "trace-17",
    }


def check_update(aws: Recorder, root: Path) -> None:
    [model] = aws.asked("update", "CreateModel")
    assert (model["PrimaryContainer"]["Image"], model["PrimaryContainer"]["ModelDataUrl"]) == (IMAGE, MODEL)
    [configuration] = aws.asked("update", "CreateEndpointConfig")
    assert _variant(aws, "update")["ModelName"] == model["ModelName"]
    [update] = aws.asked("update", "UpdateEndpoint")
    assert update == {"EndpointName": "roads", "EndpointConfigName": configuration["EndpointConfigName"]}


def check_transform(aws: Recorder, root: Path) -> None:
    [request] = aws.asked("transform", "CreateTransformJob")
    source = {"S3DataType": "S3Prefix", "S3Uri": f"{DATA}/photos/"}
    assert request["TransformInput"]["DataSource"]["S3DataSource"] == source
    assert request["TransformInput"]["ContentType"] == "image/jpeg"
    assert request["TransformInput"].get("SplitType", "None") == "None"
    assert request["TransformOutput"] == {"S3OutputPath": f"{DATA}/masks", "Accept": "image/png"}
    assert (request["BatchStrategy"], request["MaxPayloadInMB"]) == ("SingleRecord", 20)
    resources = request["TransformResources"]
    assert resources.get("TransformAmiVersion") == (GPU_TRANSFORM if _old_driver(resources) else None)


def check_multi_model(aws: Recorder, root: Path) -> None:
    [model] = aws.asked("multi-model", "CreateModel")
    container = model["PrimaryContainer"]
    assert (container["Image"], container["Mode"]) == (IMAGE, "MultiModel")
    assert container["ModelDataUrl"] == f"{DATA}/models/"
    assert _variant(aws, "multi-model")["ModelName"] == model["ModelName"]
    [invocation] = aws.asked("multi-model", "InvokeEndpoint")
    assert invocation["TargetModel"] == "berlin.tar.gz"


def check_asynchronous(aws: Recorder, root: Path) -> None:
    [configuration] = aws.asked("asynchronous", "CreateEndpointConfig")
    outputs = {"S3OutputPath": f"{DATA}/answers", "S3FailurePath": f"{DATA}/failures"}
    assert configuration["AsyncInferenceConfig"]["OutputConfig"] == outputs
    assert _variant(aws, "asynchronous")["InstanceType"] == "ml.g4dn.xlarge"
    [invocation] = aws.asked("asynchronous", "InvokeEndpointAsync")
    assert invocation["InputLocation"] == f"{DATA}/photos/large.jpg"
    assert (invocation["ContentType"], invocation["Accept"]) == ("image/jpeg", COMPACT)


CHECKS: Final[Mapping[str, Callable[[Recorder, Path], None]]] = {
    "train": check_train,
    "manifest": check_manifest,
    "incremental": check_incremental,
    "spot": check_spot,
    "tune": check_tune,
    "deploy": check_deploy,
    "update": check_update,
    "transform": check_transform,
    "multi-model": check_multi_model,
    "asynchronous": check_asynchronous,
}


def differences(before: Any, after: Any, path: str = "") -> set[str]:
    """Where two requests differ, by the names that lead there."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return set() if before == after else {path}
    return set().union(
        *(differences(before.get(name), after.get(name), f"{path}.{name}".lstrip(".")) for name in before | after)
    )


def _training(aws: Recorder, snippet: str, root: Path) -> tuple[dict[str, Any], Job]:
    """The one training job that a snippet asks for, and what the container reads in the tree made of it."""
    [request] = aws.asked(snippet, "CreateTrainingJob")
    algorithm = request["AlgorithmSpecification"]
    assert (request["RoleArn"], algorithm["TrainingImage"]) == (ROLE, IMAGE)
    assert algorithm["MetricDefinitions"] == METRIC_DEFINITIONS
    assert not algorithm.keys() & {"ContainerEntrypoint", "ContainerArguments"}
    job = Job.read(Paths(ml_tree_from_request(request, root)))
    settings = read_hyperparameters(job.hyperparameters)
    assert (settings.num_classes, settings.epochs, settings.use_pretrained_model) == (21, 30, True)
    return request, job


def _variant(aws: Recorder, snippet: str) -> dict[str, Any]:
    """The one variant of the one endpoint configuration that a snippet asks for, with a driver that PyTorch can use."""
    [configuration] = aws.asked(snippet, "CreateEndpointConfig")
    [variant] = configuration["ProductionVariants"]
    assert variant.get("InferenceAmiVersion") == (GPU_ENDPOINT if _old_driver(variant) else None)
    return dict(variant)


def _old_driver(resources: Mapping[str, Any]) -> bool:
    """Whether these instances come with NVIDIA driver 470 unless another is asked for."""
    return str(resources["InstanceType"]).startswith(("ml.g4dn.", "ml.g5."))


def _places(request: Mapping[str, Any]) -> dict[str, str]:
    return {
        channel["ChannelName"]: channel["DataSource"]["S3DataSource"]["S3Uri"] for channel in request["InputDataConfig"]
    }


def _ends(ranges: Mapping[str, Any], number: int) -> Iterator[tuple[str, str]]:
    """The first (0) or the last (-1) value of each range."""
    for entry in [*ranges["ContinuousParameterRanges"], *ranges["IntegerParameterRanges"]]:
        yield entry["Name"], (entry["MinValue"], entry["MaxValue"])[number]
    for entry in ranges["CategoricalParameterRanges"]:
        yield entry["Name"], entry["Values"][number]
