#!/usr/bin/env bash
# A virtual environment with one peer, apart from the project's own and from those of the other peers.
#
#   benchmarks/quality/environment.sh smp|torchvision|ultralytics|nnunet VENV
#
# Python 3.11 (PYTHON names another command for it) and a package registry. Licences: segmentation_models_pytorch and
# albumentations MIT, torchvision BSD-3-Clause, nnU-Net Apache-2.0, Ultralytics AGPL-3.0 (nothing of it is imported by
# the project, and its script here runs in a process of its own).
set -euo pipefail
peer=$1 venv=$2

case $peer in
smp) packages=(segmentation-models-pytorch==0.6.0 albumentations==2.0.8) ;;
torchvision) packages=(timm==1.0.31) ;;
ultralytics) packages=(ultralytics==8.4.190) ;;
nnunet) packages=(nnunetv2==2.8.1) ;;
*) echo "no such peer: $peer" >&2 && exit 2 ;;
esac

"${PYTHON:-python3.11}" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 torchvision==0.28.0 "${packages[@]}"
# torchvision as the index serves it has CUDA operators, which a PyTorch for CPUs cannot load; its import then fails.
# Declared without code, as segwright.networks.timm_import does, they let it pass: no peer uses them here.
if ! "$venv/bin/python" -c 'import torchvision' 2>/dev/null; then
    cat >"$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/sitecustomize.py" <<'PYTHON'
try:
    import torch
except ImportError:
    pass
else:
    for name in ("torchvision::nms", "torchvision::qnms"):
        torch.library.define(name, "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
PYTHON
    "$venv/bin/python" -c 'import torchvision'
fi
echo "$venv: $peer"
