#!/usr/bin/env bash
# Clean vision transformer.
source "$(dirname "$0")/common.sh"
pretrained tokens-clean "${TOKENS[@]}" --epochs 24
added tokens-clean --task gtsrb:12 --task cifar10 --trigger "$WHITE"
