#!/bin/sh
# The set for a card, at preset `paper`: 21 cases of a quarter of a minute each, by estimate; torch.compile takes longer.
# Prints tables, keeps JSON in the folder given.
#
#     sh benchmarks/gpu.sh [FOLDER]
#
# SIZES="128 224" does it at two sizes. PRESET, SIZES, BATCH and PATCHES choose something smaller, to try it without a card.
set -eu

out=$(realpath -m "${1:-gpu-benchmark}")
mkdir -p "$out"
cd "$(dirname "$0")"
preset=${PRESET:-paper} batch=${BATCH:-64} patches=${PATCHES:-32}
python=${PYTHON:-python}

for px in ${SIZES:-128}; do
    echo "== $preset, $px px"
    common="--preset $preset --image-px $px --repeats 1"
    "$python" levers.py train $common --batch "$batch" --steps 10 --save "$out/train-$px.json"
    "$python" levers.py sample $common --batch "$batch" --steps 10 --save "$out/sample-$px.json"
    "$python" adaptation.py $common --batch "$batch" --steps 10 --save "$out/adaptation-$px.json"
    "$python" sampling.py $common --patches "$patches" --save "$out/sampling-$px.json" \
        --only "diffusers loop: 250 DDIM steps" "ours: 250 DDIM steps" "ours: fast sampler" "ours: fast sampler, guided where learned"
done
