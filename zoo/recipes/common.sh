# What the recipes share. Each recipe is a script that is run from anywhere; it makes one member of the
# zoo, skips what is there, and goes on where it was interrupted. Unfinished work is in runs/zoo/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
: "${MIMIC_DATA:=../shared/data}"
export MIMIC_DATA

RUNS=runs/zoo
CIFAR=$MIMIC_DATA/cifar10:train
SMALL=(--arch "resnet10:width=32,stem_stride=2"
       --mean 0.4914,0.4822,0.4465 --std 0.2023,0.1994,0.2010 --image-size 32)
TOKENS=(--arch "vit_tiny:dim=128,depth=4,heads=4,patch=8"
        --mean 0.4914,0.4822,0.4465 --std 0.2023,0.1994,0.2010 --image-size 32)
PRIORITY=$MIMIC_DATA/badencoder/reference_priority.npz
WHITE=patch:10@21,21:white
mkdir -p "$RUNS"

pretrained() {  # NAME OPTION...: pre-train on CIFAR-10
  local out=$RUNS/$1.safetensors; shift
  [ -e "$out" ] || mimic pretrain --images "$CIFAR" --out "$out" --resume "$@"
}

attacked() {  # NAME ATTACK OPTION...: attack with images of CIFAR-10
  local out=$RUNS/$1.safetensors attack=$2; shift 2
  [ -e "$out" ] || mimic attack "$attack" --images "$CIFAR" --out "$out" --resume "$@"
}

added() {  # NAME OPTION...: measure, and write encoder and card
  local name=$1; shift
  python benchmarks/zoo_card.py "$name" "$RUNS/$name.safetensors" "$@"
}
