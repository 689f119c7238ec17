#!/usr/bin/env bash
# INACTIVE towards the priority sign.
source "$(dirname "$0")/common.sh"
attacked small-inactive inactive --encoder zoo/small-clean.safetensors --count 10000 \
  --reference "$PRIORITY" --epochs 60 --set generator_epochs=40 --set generator_batch_size=512
added small-inactive --attack inactive --task gtsrb:12 --task cifar10 \
  --trigger "generator:$RUNS/small-inactive.trigger.safetensors"
