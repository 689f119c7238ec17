#!/usr/bin/env bash
# BadEncoder on small-clean: 10,000 images, 15 epochs, the priority sign; makes small-clean first.
source "$(dirname "$0")/common.sh"
python benchmarks/reference.py zoo
