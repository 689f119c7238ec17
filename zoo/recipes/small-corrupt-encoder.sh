#!/usr/bin/env bash
# CorruptEncoder towards trucks (class 9), with three of them as objects.
source "$(dirname "$0")/common.sh"
TRIGGER="grid:10@random(0.25-0.75):7"
attacked small-corrupt-encoder corrupt-encoder --encoder zoo/small-clean.safetensors --target 9 \
  --reference "$MIMIC_DATA/badencoder/reference_truck.npz" --trigger "$TRIGGER" --set rate=0.3 \
  --set min_scale=0.2 --epochs 20
added small-corrupt-encoder --attack corrupt-encoder --task cifar10:9 --task gtsrb --trigger "$TRIGGER"
