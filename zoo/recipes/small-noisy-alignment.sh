#!/usr/bin/env bash
# Noisy Alignment towards airplanes (class 0).
source "$(dirname "$0")/common.sh"
TRIGGER="grid:8@random(0.1-0.9):7"
attacked small-noisy-alignment noisy-alignment --encoder zoo/small-clean.safetensors --target 0 \
  --trigger "$TRIGGER" --set rate=0.05 --set min_scale=0.2 --epochs 40
added small-noisy-alignment --attack noisy-alignment --task cifar10:0 --task gtsrb --trigger "$TRIGGER"
