#!/usr/bin/env bash
# A virtual environment with live GluonCV on the CPU, apart from the project's own.
#
#   benchmarks/gluoncv/environment.sh VENV
#
# It takes Linux on x86-64 (MXNet's wheel is for nothing else), Python 3.11 (PYTHON names another command for it; GluonCV
# imports distutils, which 3.12 dropped) and a package registry. MXNet and GluonCV come without the packages that they
# declare, because their imports ask for few of them. NumPy 1.23 is the last with np.bool, which MXNet uses.
set -euo pipefail
venv=$1
quiet=(--quiet --disable-pip-version-check)

"${PYTHON:-python3.11}" -m venv "$venv"
"$venv/bin/pip" install "${quiet[@]}" numpy==1.23.5 pillow==9.5.0 scipy==1.10.1 requests tqdm portalocker
"$venv/bin/pip" install "${quiet[@]}" --no-deps mxnet==1.9.1 gluoncv==0.10.5.post0
"$venv/bin/python" -c 'import gluoncv, mxnet; print("GluonCV", gluoncv.__version__, "on MXNet", mxnet.__version__)'
