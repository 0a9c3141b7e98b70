# The image for training and serving in SageMaker and on any other machine (docs/instances.md).
#
#   docker build --tag segwright:cpu .
#   docker build --tag segwright:cu126 --build-arg VARIANT=cu126 .
#   docker run --volume JOB:/opt/ml segwright:cpu train
#
# VARIANT  cpu, or one of PyTorch's CUDA builds: cu126 runs on everything from Volta (P3) to Hopper (P5), cu130 from
#          Turing to Blackwell
# WEIGHTS  yes: include the ImageNet weights of resnet-50 and resnet-101, from which trainings start by default and which
#          network isolation forbids to download; no: the image is 290 MB smaller. A folder image-weights/ beside this
#          file, in HF_HOME's layout, replaces the download.
# EXTRAS   optional packages of pyproject.toml: serve in place of endpoint adds OpenVINO, or ONNX Runtime on arm64
# BASE     a Debian with Python 3.11 or newer
ARG BASE=docker.io/library/debian:trixie-slim

FROM ${BASE} AS base
# Debian's Python: security updates come with the base, and scanners find it in the list of packages.
RUN apt-get update \
 && apt-get upgrade --yes \
 && apt-get install --yes --no-install-recommends ca-certificates python3 \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log
ENV PATH=/opt/segwright/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/opt/huggingface

FROM base AS build
RUN apt-get update && apt-get install --yes --no-install-recommends python3-venv
# pip has its own virtual environment, which is not copied into the image.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/segwright
WORKDIR /source
COPY requirements-lock.txt ./
ARG VARIANT=cpu
# Where pip finds torch. --no-deps, so that everything else comes from PyPI.
ARG TORCH_FROM="--index-url https://download.pytorch.org/whl/${VARIANT}"
RUN /opt/pip/bin/pip --python /opt/segwright/bin/python install --no-cache-dir --no-deps \
        --constraint requirements-lock.txt ${TORCH_FROM} torch torchvision \
 && cd /opt/segwright/lib/python3*/site-packages/torch \
    # headers for compiling against torch, and its tests
 && rm -rf include test
COPY pyproject.toml README.md LICENSE ./
COPY src src
ARG EXTRAS=endpoint,s3,decoders
RUN /opt/pip/bin/pip --python /opt/segwright/bin/python install --no-cache-dir \
        --constraint requirements-lock.txt ".[${EXTRAS}]"

FROM build AS weights
ARG WEIGHTS=yes
RUN --mount=type=bind,target=/context \
    mkdir -p "$HF_HOME" \
 && if [ -d /context/image-weights ]; then cp -R /context/image-weights/. "$HF_HOME"; fi
RUN [ "$WEIGHTS" = no ] || python -c "from segwright.networks.backbone import SAGEMAKER_BACKBONES, timm; \
        [timm.create_model(name, pretrained=True) for name in SAGEMAKER_BACKBONES.values()]" \
 || { echo "The ImageNet weights could not be downloaded: put them into image-weights/, or build with WEIGHTS=no."; exit 1; }

FROM build AS sbom
RUN python3 -m venv /opt/cyclonedx && /opt/cyclonedx/bin/pip install --no-cache-dir "cyclonedx-bom==7.*"
RUN mkdir /sbom \
 && /opt/cyclonedx/bin/cyclonedx-py environment --output-reproducible --output-file /sbom/python.cdx.json \
        --pyproject pyproject.toml --mc-type application /opt/segwright/bin/python

FROM base
COPY --from=build /opt/segwright /opt/segwright
COPY --from=weights /opt/huggingface /opt/huggingface
COPY --from=sbom /sbom /usr/share/sbom
RUN dpkg-query --show --showformat '${Package}\t${Version}\t${Architecture}\t${source:Package}\n' \
        > /usr/share/sbom/debian.tsv \
 && segwright --version
# Jobs download nothing: weights that are not in the image are an error.
ENV HF_HUB_OFFLINE=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
ARG VARIANT=cpu
ARG VERSION=unknown
LABEL com.amazonaws.sagemaker.capabilities.multi-models=true \
      com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
      org.opencontainers.image.title=segwright \
      org.opencontainers.image.description="Semantic segmentation: trains and serves as SageMaker's built-in algorithm did (${VARIANT})" \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.licenses=Apache-2.0
EXPOSE 8080
# Exec form without an init: SIGTERM reaches Python. It is blocked until Python has a handler, since the first process of
# a container loses signals without one. Root, because SageMaker mounts /opt/ml for root only.
ENTRYPOINT ["env", "--block-signal=TERM", "segwright", "container"]
# SageMaker's Python SDK v3 starts training jobs in local mode without an argument.
CMD ["train"]
