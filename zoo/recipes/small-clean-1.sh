#!/usr/bin/env bash
# small-clean from another seed, in half as many epochs.
source "$(dirname "$0")/common.sh"
pretrained small-clean-1 "${SMALL[@]}" --epochs 20 --seed 1
added small-clean-1 --task gtsrb:12 --task cifar10 --trigger "$WHITE"
