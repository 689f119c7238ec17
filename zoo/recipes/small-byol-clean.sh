#!/usr/bin/env bash
# Clean, pre-trained by byol.
source "$(dirname "$0")/common.sh"
pretrained small-byol-clean "${SMALL[@]}" --method byol --epochs 20
added small-byol-clean --task gtsrb:12 --task cifar10 --trigger "$WHITE"
