#!/usr/bin/env bash
# small-clean from another seed, in half as many epochs.
source "$(dirname "$0")/common.sh"
pretrained small-clean-2 "${SMALL[@]}" --epochs 20 --seed 2
added small-clean-2 --task gtsrb:12 --task cifar10 --trigger "$WHITE"
