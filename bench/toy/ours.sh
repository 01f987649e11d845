#!/bin/sh
# Our side of the toy task: ours.sh TOY SEED MODEL OUT
# TOY is the folder that generate.py wrote. Same settings as peer.py: batch 16, SGD 0.01, 320 px,
# 40 epochs, the last 10 without mosaic; EXTRA has more settings. As torchvision_peer.py trains:
#   SIZE=416 EXTRA="$(cat bench/toy/fasterrcnn.args)" EVALUATE="evaluation.conf=0.05 evaluation.iou=0.5 evaluation.max_det=100" ours.sh TOY 0 fasterrcnn_resnet18_fpn OUT
# Needs bin/wildtrain; PYTHON names one with pycocotools.
set -eu
toy=$1 seed=$2 model=$3 out=$4
bin/wildtrain train model="$model" data.root="$toy/wildata" seed="$seed" runs="$out" experiment_name=toy name="$model-seed$seed" \
	training.imgsz=320 training.batch=16 training.epochs=40 training.lr0=0.01 data.workers=1 data.cache=ram training.threads="${THREADS:-1}" ${EXTRA:-}
run="$out/toy/$model-seed$seed"
bin/wildtrain evaluate weights="$run/checkpoints/best" data.root="$toy/wildata" training.imgsz="${SIZE:-320}" ${EVALUATE:-} out="$run/evaluation"
"${PYTHON:-python3}" "$(dirname "$0")/score.py" "$toy/wildata/datasets/toy/annotations/val.json" "$run/evaluation" > "$out/$model-seed$seed.json"
cat "$out/$model-seed$seed.json"
