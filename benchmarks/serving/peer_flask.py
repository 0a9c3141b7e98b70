"""The usual endpoint: torchvision's FCN ResNet-50 behind Flask, JPEG in and PNG out, one request at a time.

python benchmarks/serving/peer_flask.py PORT CLASSES

Weights are random, which costs the same. Flask's own server answers requests in threads, as its documents show it.
"""

import io
import sys

import numpy as np
import torch
from flask import Flask, Response, request
from PIL import Image

import segwright.networks.timm_import  # noqa: F401  # a torchvision with CUDA operators can be imported after it

from torchvision.models.segmentation import fcn_resnet50  # isort: skip
from torchvision.transforms.functional import normalize, to_tensor  # isort: skip


def main(port: int, classes: int) -> None:
    """Serve until killed."""
    network = fcn_resnet50(weights=None, weights_backbone=None, num_classes=classes).eval()
    app = Flask(__name__)

    @app.get("/ping")
    def ping() -> str:
        return ""

    @app.post("/invocations")
    @torch.inference_mode()
    def invocations() -> Response:
        image = Image.open(io.BytesIO(request.get_data())).convert("RGB")
        pixels = normalize(to_tensor(image), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        mask = network(pixels[None])["out"][0].argmax(0).to(torch.uint8).numpy()
        answer = io.BytesIO()
        Image.fromarray(np.asarray(mask)).save(answer, "PNG")
        return Response(answer.getvalue(), mimetype="image/png")

    app.run(port=port)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
