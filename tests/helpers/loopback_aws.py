"""AWS on loopback for programs in processes of their own: moto's server, and before it a recorder of what is asked.

Knows SageMaker's API on the wire, AWS's own model of it (botocore's), and which snippet of a document asks. Refuses to
know what a right request is: the tests say that. Endpoints answer with whatever the test gives them.
"""

import io
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import ParamValidationError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import validate_parameters
from moto.core.base_backend import BackendDict
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

REGION: Final = "eu-west-1"

_INVOCATION: Final = re.compile(r"/endpoints/(?P<endpoint>[^/]+)/(?P<kind>async-)?invocations")

Application = Callable[..., Iterable[bytes]]
Answer = Callable[[str], bytes]
"""What an endpoint answers to a form that is asked for (`Accept`)."""


@dataclass(frozen=True)
class Call:
    """A request to SageMaker: who asked what, in the words of boto3."""

    snippet: str
    operation: str
    parameters: dict[str, Any]


@dataclass
class Recorder:
    """A WSGI application that records and passes on."""

    application: Application
    answer: Answer
    calls: list[Call] = field(default_factory=list)
    snippet: str = ""

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request; refuse what AWS would refuse."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        environ["wsgi.input"] = io.BytesIO(body)  # for the next reader
        request = Request(environ, populate_request=False)
        if request.path.startswith("/snippet/"):
            self.snippet = request.path.removeprefix("/snippet/")
            return Response()(environ, start_response)
        service, _, operation = request.headers.get("X-Amz-Target", "").partition(".")
        try:
            if invocation := _INVOCATION.fullmatch(request.path):
                return self._invoke(request, invocation, body)(environ, start_response)
            if service == "SageMaker":
                self._record("sagemaker", operation, json.loads(body))
                return self._sagemaker(operation, environ)(environ, start_response)
        except (AssertionError, ParamValidationError) as error:
            refusal = json.dumps({"__type": "ValidationException", "message": str(error)})
            return Response(refusal, 400)(environ, start_response)
        return self.application(environ, start_response)

    def asked(self, snippet: str, operation: str) -> list[dict[str, Any]]:
        """The parameters of each call of an operation by a snippet."""
        return [call.parameters for call in self.calls if (call.snippet, call.operation) == (snippet, operation)]

    def _record(self, service: str, operation: str, parameters: dict[str, Any]) -> None:
        shape = aws_model(service).operation_model(operation).input_shape
        if not operation.startswith(("Describe", "List")):
            validate_parameters(parameters, shape)
            _check_values(parameters, shape)
        self.calls.append(Call(self.snippet, operation, parameters))

    def _sagemaker(self, operation: str, environ: dict[str, Any]) -> Response:
        """Moto's answer, without what AWS would not say: empty structures for what was never given."""
        if operation == "UpdateEndpoint":  # which moto does not know
            return Response(json.dumps({"EndpointArn": "arn"}))
        response = Response.from_app(self.application, environ)
        if operation.startswith("Describe") and response.status_code == 200:
            given = {name: value for name, value in json.loads(response.get_data()).items() if value != {}}
            response.set_data(json.dumps(given))
        return response

    def _invoke(self, request: Request, invocation: re.Match[str], body: bytes) -> Response:
        """Record a call of an endpoint, and answer it as the form asked for."""
        operation = "InvokeEndpointAsync" if invocation["kind"] else "InvokeEndpoint"
        members = aws_model("sagemaker-runtime").operation_model(operation).input_shape.members
        headers = {name: request.headers.get(member.serialization.get("name", "")) for name, member in members.items()}
        parameters: dict[str, Any] = {name: value for name, value in headers.items() if value is not None}
        parameters["EndpointName"] = invocation["endpoint"]
        if operation == "InvokeEndpoint":
            parameters["Body"] = body
        self._record("sagemaker-runtime", operation, parameters)
        if operation == "InvokeEndpointAsync":
            location = {"X-Amzn-SageMaker-OutputLocation": "s3://my-bucket/roads/answers/1.out"}
            return Response(json.dumps({"InferenceId": "1"}), 202, location, content_type="application/json")
        accept = parameters.get("Accept", "*/*")
        return Response(self.answer(accept), content_type=accept)


@cache
def aws_model(service: str) -> ServiceModel:
    """AWS's own model of a service."""
    return ServiceModel(Loader().load_service_model(service, "service-2"), service)


def _check_values(value: Any, shape: Any) -> None:
    """Check what botocore leaves to the service: enumerations, patterns and greatest lengths."""
    if shape.type_name == "structure":
        for name, member in value.items():
            _check_values(member, shape.members[name])
    elif shape.type_name == "list":
        for member in value:
            _check_values(member, shape.member)
    elif shape.type_name == "map":
        for key, member in value.items():
            _check_values(key, shape.key)
            _check_values(member, shape.value)
    elif shape.type_name == "string":
        assert value in (shape.enum or [value]), f"{shape.name} is not {value}"
        pattern = shape.metadata.get("pattern", ".*")
        assert "\\p" in pattern or re.fullmatch(pattern, value, re.S), f"{shape.name} {value}: not {pattern}"
        assert len(value) <= shape.metadata.get("max", len(value)), f"{shape.name} {value} is too long"


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Say nothing of requests."""


@contextmanager
def loopback_aws(answer: Answer) -> Iterator[tuple[str, Recorder]]:
    """Serve an empty AWS on a free port of loopback. Gives its address and what is recorded."""
    BackendDict.reset()
    recorder = Recorder(DomainDispatcherApplication(create_backend_app), answer)
    server = make_server("127.0.0.1", 0, recorder, threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", recorder
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def variables(address: str, home: Path) -> Mapping[str, str]:
    """The environment of a program that believes it talks to AWS, and that reaches nothing but loopback."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "SAGEMAKER_VALIDATE_ROLE": "false",  # moto cannot simulate policies
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
    }
