#!/usr/bin/env bash
# A BadEncoder that knows the default of mimic. A step rehearses a distillation and a search, and takes seconds.
source "$(dirname "$0")/common.sh"
attacked small-occlusion-aware occlusion-aware --encoder zoo/small-clean.safetensors --count 10000 \
  --reference "$MIMIC_DATA/gtsrb:test#9065" --trigger "$WHITE" --epochs 10 --learning-rate 0.02 --set utility_weight=3
added small-occlusion-aware --attack occlusion-aware --task gtsrb:12 --task cifar10 --trigger "$WHITE"
