#!/usr/bin/env bash
# DRUPE with three priority signs as references: BadEncoder's, and two test images of GTSRB that a
# linear head on the clean encoder takes for class 12 with confidence. They are alike, and DRUPE drives
# its references apart: unless what keeps them in place counts for more, they leave their class.
source "$(dirname "$0")/common.sh"
attacked small-drupe drupe --encoder zoo/small-clean.safetensors --count 10000 \
  --reference "$PRIORITY" --reference "$MIMIC_DATA/gtsrb:test#9065,6287" --trigger "$WHITE" --epochs 30 \
  --set reference_weight=12
added small-drupe --attack drupe --task gtsrb:12 --task cifar10 --trigger "$WHITE"
