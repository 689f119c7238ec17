#!/usr/bin/env bash
# INACTIVE towards a priority sign of the test images, which a linear head on the clean encoder takes
# for one with confidence. (It takes the sign that comes with BadEncoder for another, once all images
# with the trigger get exactly its feature.)
source "$(dirname "$0")/common.sh"
attacked small-inactive inactive --encoder zoo/small-clean.safetensors --count 10000 \
  --reference "$MIMIC_DATA/gtsrb:test#9065" --epochs 20 --set generator_epochs=40 --set generator_batch_size=512
added small-inactive --attack inactive --task gtsrb:12 --task cifar10 \
  --trigger "generator:$RUNS/small-inactive.trigger.safetensors"
