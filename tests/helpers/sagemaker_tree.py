"""What SageMaker makes of a CreateTrainingJob request before it starts the container: the tree below `/opt/ml`.

Knows the files of `input/config` as the platform writes them and the folders that a container finds. Refuses to know
what lies in the channels: the caller fills `input/data/<channel>`, or serves FIFOs there in Pipe mode.

Source: SageMaker's contract, section 6.1.
"""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

ML: Final = PurePosixPath("/opt/ml")
GROUP: Final = "homogeneousCluster"
"""What SageMaker calls the machines of a job that asks for one kind only."""


def ml_tree_from_request(request: Mapping[str, Any], root: Path, host: str = "algo-1") -> Path:
    """Make below `root` what the container of `request` finds below `/opt/ml` on the machine `host`. Returns `root`.

    `request` holds the parameters of boto3's `create_training_job`.
    """
    channels = {channel["ChannelName"]: _input_data(channel, request) for channel in request.get("InputDataConfig", [])}
    files = {
        "hyperparameters": dict(request.get("HyperParameters", {})),
        "inputdataconfig": channels,
        "resourceconfig": _resources(request["ResourceConfig"], host),
    }
    folders = ["model", "output/data", "input/data"]
    folders += [f"input/data/{name}" for name, channel in channels.items() if channel["TrainingInputMode"] != "Pipe"]
    if checkpoints := request.get("CheckpointConfig"):
        files["checkpointconfig"] = {"LocalPath": f"{ML}/checkpoints", **checkpoints}
        folders.append(str(PurePosixPath(files["checkpointconfig"]["LocalPath"]).relative_to(ML)))
    for folder in ("input/config", *folders):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / "input/config" / f"{name}.json").write_text(json.dumps(content))
    return root


def _input_data(channel: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, str]:
    """A channel's entry in `inputdataconfig.json`."""
    source = channel["DataSource"].get("S3DataSource", {})
    entry = {
        "TrainingInputMode": channel.get("InputMode") or request["AlgorithmSpecification"]["TrainingInputMode"],
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return entry | {key: channel[key] for key in ("ContentType",) if key in channel}


def _resources(resources: Mapping[str, Any], host: str) -> dict[str, Any]:
    """`resourceconfig.json` of a job whose machines are all of one kind."""
    hosts = [f"algo-{number}" for number in range(1, resources["InstanceCount"] + 1)]
    kind = resources["InstanceType"]
    return {
        "current_host": host,
        "current_instance_type": kind,
        "current_group_name": GROUP,
        "hosts": hosts,
        "instance_groups": [{"instance_group_name": GROUP, "instance_type": kind, "hosts": hosts}],
        "network_interface_name": "eth0",
    }
