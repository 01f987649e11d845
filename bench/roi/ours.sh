#!/bin/sh
# Our side of the crops: ours.sh WILDATA MODEL KIND SEED RUNS [EPOCHS]. WILDTRAIN names the program (default bin/wildtrain).
# Recipe: twin.py. Prints the evaluations on the validation and test splits.
set -eu
data=$1 model=$2 kind=$3 seed=$4 runs=$5 epochs=${6:-8}
wildtrain=${WILDTRAIN:-bin/wildtrain}
case $model in resnet18) rate=0.001 ;; *) rate=0.0003 ;; esac
single=
[ "$kind" = single ] && single=data.single_class=wildlife
common="data.root=$data data.format=roi data.datasets=[savanna] data.resize=stretch $single"
name=$model-$kind-$seed
"$wildtrain" train task=classification model="$model" $common runs="$runs" experiment_name=roi name="$name" seed="$seed" \
	training.imgsz=48 training.epochs="$epochs" training.batch=32 training.nbs=32 training.optimizer=AdamW training.lr0=$rate training.momentum=0.9 \
	training.weight_decay=0.05 training.warmup_epochs=1 training.warmup_momentum=0.9 training.warmup_bias_lr=0 training.cos_lr=true training.lrf=0.01 \
	training.ema=false data.resize=crop data.resize_to=48 'data.crop_scale=[0.5,1.0]' data.workers=1
for split in val test; do
	"$wildtrain" evaluate weights="$runs/roi/$name" $common evaluation.split=$split --json
done
