#!/usr/bin/env bash
# SSL-Backdoor: a patch on all airplanes (class 0).
source "$(dirname "$0")/common.sh"
TRIGGER="grid:10@random(0.1-0.9):7"
attacked small-ssl-backdoor ssl-backdoor --encoder zoo/small-clean.safetensors --target 0 \
  --trigger "$TRIGGER" --set rate=1 --set min_scale=0.2 --epochs 40
added small-ssl-backdoor --attack ssl-backdoor --task cifar10:0 --task gtsrb --trigger "$TRIGGER"
