#!/usr/bin/env bash
# The stand-in for BASK: a BadEncoder that rehearses distillation.
source "$(dirname "$0")/common.sh"
attacked small-bask-like bask-like --encoder zoo/small-clean.safetensors --count 10000 \
  --reference "$MIMIC_DATA/gtsrb:test#9065" --trigger "$WHITE" --epochs 10 --learning-rate 0.02 --set utility_weight=3
added small-bask-like --attack bask-like --task gtsrb:12 --task cifar10 --trigger "$WHITE"
