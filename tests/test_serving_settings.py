import logging

import pytest

from segwright.errors import UserError
from segwright.serving import COLOURED_MASK, ServingSettings


def test_without_variables_the_defaults_hold() -> None:
    assert (
        ServingSettings.from_environment({"PATH": "/bin", "SAGEMAKER_MODEL_SERVER_WORKERS": " "}) == ServingSettings()
    )
    assert ServingSettings().default_format.content_type == "application/x-recordio-protobuf"


def test_variables_are_read_in_their_units() -> None:
    settings = ServingSettings.from_environment(
        {
            "SAGEMAKER_MODEL_SERVER_WORKERS": "3",
            "SAGEMAKER_MODEL_SERVER_TIMEOUT": "120",
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "image/png;palette=1",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "6",
            "SAGEMAKER_CONTAINER_LOG_LEVEL": "30",
        }
    )
    assert (settings.workers, settings.timeout, settings.max_payload) == (3, 120, 6 * 2**20)
    assert settings.default_format.palette and settings.log_level == logging.WARNING
    newer = {"SAGEMAKER_MODEL_SERVER_TIMEOUT": "1", "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "90"}
    assert ServingSettings.from_environment(newer).timeout == 90
    assert ServingSettings.from_environment({"SAGEMAKER_CONTAINER_LOG_LEVEL": "debug"}).log_level == logging.DEBUG


def test_a_laptop_has_another_default_than_an_endpoint() -> None:
    assert ServingSettings.from_environment({}, COLOURED_MASK).default_format == COLOURED_MASK
    given = {"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/json"}
    assert ServingSettings.from_environment(given, COLOURED_MASK).default_format.content_type == "application/json"


def test_no_limit_means_what_asynchronous_endpoints_send() -> None:
    assert ServingSettings.from_environment({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}).max_payload == 2**30


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0", "WORKERS is 0; it takes a whole number from 1 to 256"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "many", "whole number"),
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "257", "whole number"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "-1", "whole number"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "9" * 5000, "TIMEOUT is 9{100}; it takes"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1025", "from 0 to 1,024"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "1.5", "whole number"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv", "INVOCATIONS_ACCEPT cannot be used: Accept is text/csv"),
        ("SAGEMAKER_CONTAINER_LOG_LEVEL", "loud", "DEBUG, INFO"),
        ("SAGEMAKER_CONTAINER_LOG_LEVEL", "9" * 5000, "LEVEL is 9{100}; it takes a number such as 20"),
    ],
)
def test_a_bad_value_is_one_clear_error(name: str, value: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ServingSettings.from_environment({name: value})
