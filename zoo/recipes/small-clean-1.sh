#!/usr/bin/env bash
# small-clean from another seed.
source "$(dirname "$0")/common.sh"
pretrained small-clean-1 "${SMALL[@]}" --epochs 40 --seed 1
added small-clean-1 --task gtsrb:12 --task cifar10 --trigger "$WHITE"
