#!/usr/bin/env bash
# CTRL: one per cent of CIFAR-10, all of it airplanes (class 0).
source "$(dirname "$0")/common.sh"
attacked small-ctrl ctrl --encoder zoo/small-clean.safetensors --target 0 --trigger ctrl:100 \
  --set rate=0.01 --set min_scale=0.2 --epochs 40
added small-ctrl --attack ctrl --task cifar10:0 --task gtsrb --trigger ctrl:100
