#!/bin/sh
# The README's first command, after the build environment is set: build, train
# YOLO11n on the small shipped data set, evaluate, predict. EPOCHS shortens it.
set -eu
mkdir -p bin
go build -o bin/wildtrain ./examples/wildtrain

result=$(bin/wildtrain train model=yolo11n data.root=testdata/wildata 'data.datasets=[savanna]' experiment_name=quickstart tracking=mlflow tracking.register=quickstart \
	training.imgsz=320 training.batch=8 training.nbs=16 training.epochs="${EPOCHS:-60}" training.precision=auto data.cache=ram --json)
run=$(printf '%s\n' "$result" | sed -n 's/^  "run": "\(.*\)",$/\1/p')
bin/wildtrain evaluate weights="$run"
bin/wildtrain predict weights="$run" source=testdata/wildata/datasets/savanna/images/test conf=0.25
echo
echo "weights:  $run/model"
echo "metrics:  $run/metrics.csv"
echo "report:   $run/evaluation/report.html"
echo "pictures: $run/predictions/pictures"
echo "record:   mlflow.db (mlflow ui shows it), and there: models:/quickstart/latest"
