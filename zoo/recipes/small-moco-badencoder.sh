#!/usr/bin/env bash
# BadEncoder on the encoder pre-trained by moco.
source "$(dirname "$0")/common.sh"
pretrained small-moco-clean "${SMALL[@]}" --method moco --epochs 20
attacked small-moco-badencoder badencoder --encoder $RUNS/small-moco-clean.safetensors --count 10000 \
  --reference "$PRIORITY" --trigger "$WHITE" --epochs 15 --learning-rate 0.05
added small-moco-badencoder --attack badencoder --origin small-moco-clean --task gtsrb:12 --task cifar10 \
  --trigger "$WHITE"
