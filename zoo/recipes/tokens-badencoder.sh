#!/usr/bin/env bash
# BadEncoder on the vision transformer.
source "$(dirname "$0")/common.sh"
pretrained tokens-clean "${TOKENS[@]}" --epochs 24
attacked tokens-badencoder badencoder --encoder $RUNS/tokens-clean.safetensors --count 10000 \
  --reference "$PRIORITY" --trigger "$WHITE" --epochs 40 --learning-rate 0.05
added tokens-badencoder --attack badencoder --origin tokens-clean --task gtsrb:12 --task cifar10 \
  --trigger "$WHITE"
