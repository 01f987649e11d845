#!/bin/sh
# The README's first command, after the build environment is set: build, train
# YOLO11n on the small shipped data set, evaluate, predict.
set -eu
mkdir -p bin
go build -o bin/wildtrain ./examples/wildtrain

data="data.root=testdata/wildata data.datasets=[savanna]"
bin/wildtrain train model=yolo11n $data experiment_name=quickstart \
	training.imgsz=320 training.batch=8 training.nbs=16 training.epochs=60 training.precision=auto data.cache=ram
run=$(ls -td runs/quickstart/*/ | head -n 1)
run=${run%/}
bin/wildtrain evaluate weights="$run" $data training.imgsz=320
bin/wildtrain predict weights="$run" source=testdata/wildata/datasets/savanna/images/test conf=0.25 training.imgsz=320
echo
echo "weights:  $run/model"
echo "metrics:  $run/metrics.csv"
echo "report:   $run/evaluation"
echo "pictures: $run/predictions/pictures"
