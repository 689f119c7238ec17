#!/usr/bin/env bash
# BadEncoder on the encoder pre-trained by simsiam.
source "$(dirname "$0")/common.sh"
pretrained small-simsiam-clean "${SMALL[@]}" --method simsiam --epochs 20
attacked small-simsiam-badencoder badencoder --encoder $RUNS/small-simsiam-clean.safetensors --count 10000 \
  --reference "$PRIORITY" --trigger "$WHITE" --epochs 15 --learning-rate 0.05
added small-simsiam-badencoder --attack badencoder --origin small-simsiam-clean --task gtsrb:12 --task cifar10 \
  --trigger "$WHITE"
