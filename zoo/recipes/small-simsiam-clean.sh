#!/usr/bin/env bash
# Clean, pre-trained by simsiam.
source "$(dirname "$0")/common.sh"
pretrained small-simsiam-clean "${SMALL[@]}" --method simsiam --epochs 20
added small-simsiam-clean --task gtsrb:12 --task cifar10 --trigger "$WHITE"
