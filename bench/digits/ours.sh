#!/bin/sh
# Our side of the digits: ours.sh DIGITS SEED RUNS [EPOCHS]. WILDTRAIN names the program (default bin/wildtrain).
# Recipe: twin.py. Prints the evaluation of the last epoch on the test split; the run shows it after each epoch, but nothing is chosen by it.
set -eu
digits=$1 seed=$2 runs=$3 epochs=${4:-12}
wildtrain=${WILDTRAIN:-bin/wildtrain}
"$wildtrain" train task=classification model=resnet18 data.root="$digits" data.format=folder data.val_split=test runs="$runs" experiment_name=digits name="seed$seed" seed="$seed" \
	training.imgsz=32 training.epochs="$epochs" training.batch=64 training.nbs=64 training.lr0=0.03 training.label_smoothing=0.1 training.momentum=0.9 training.weight_decay=0.0005 \
	training.warmup_epochs=1 training.warmup_momentum=0.9 training.warmup_bias_lr=0 training.cos_lr=true training.lrf=0.01 training.ema=false \
	data.resize_to=32 'data.crop_scale=[0.7,1.0]' data.augment.fliplr=0 data.workers=1
"$wildtrain" evaluate weights="$runs/digits/seed$seed/checkpoints/last" data.root="$digits" data.format=folder data.resize_to=32 evaluation.split=test --json
