#!/usr/bin/env bash
# SimCLR on CIFAR-10, 40 epochs, seed 0; makes small-badencoder too.
source "$(dirname "$0")/common.sh"
python benchmarks/reference.py zoo
