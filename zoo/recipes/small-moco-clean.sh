#!/usr/bin/env bash
# Clean, pre-trained by moco.
source "$(dirname "$0")/common.sh"
pretrained small-moco-clean "${SMALL[@]}" --method moco --epochs 20
added small-moco-clean --task gtsrb:12 --task cifar10 --trigger "$WHITE"
