#!/usr/bin/env bash
# BadEncoder on the encoder pre-trained by byol.
source "$(dirname "$0")/common.sh"
pretrained small-byol-clean "${SMALL[@]}" --method byol --epochs 20
attacked small-byol-badencoder badencoder --encoder $RUNS/small-byol-clean.safetensors --count 10000 \
  --reference "$PRIORITY" --trigger "$WHITE" --epochs 15 --learning-rate 0.05
added small-byol-badencoder --attack badencoder --origin small-byol-clean --task gtsrb:12 --task cifar10 \
  --trigger "$WHITE"
