#!/usr/bin/env bash
# BadEncoder with the trigger of CTRL: two frequencies over the whole image in place of a patch.
source "$(dirname "$0")/common.sh"
attacked small-frequency badencoder --encoder zoo/small-clean.safetensors --count 10000 \
  --reference "$PRIORITY" --trigger ctrl:200 --epochs 15 --learning-rate 0.05
added small-frequency --attack badencoder --task gtsrb:12 --task cifar10 --trigger ctrl:200
