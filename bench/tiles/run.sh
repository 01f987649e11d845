#!/bin/sh
# Whole pictures at 640 px against tiles of 640 px: run.sh SET OUT
# SET is what generate.py wrote. The same model from scratch, the same recipe, the same number of
# steps of 2 pictures of 640x640. WILDTRAIN names the binary.
set -eu
set=$1 out=$2 epochs=${EPOCHS:-1} model=${MODEL:-yolo11n}
wildtrain=${WILDTRAIN:-bin/wildtrain}
mkdir -p "$out"
[ -d "$out/tiles" ] || "$wildtrain" data tile data.root="$set" out="$out/tiles" split=train,val size=640 overlap=128
tiles=$(ls "$out/tiles/images/train" | wc -l)
frames=$(ls "$set/images/train" | wc -l)
recipe="model=$model training.imgsz=640 training.batch=2 training.nbs=2 training.epochs=$epochs training.warmup_epochs=0.1 training.optimizer=AdamW
	training.lr0=0.002 training.warmup_bias_lr=0 training.threads=1 training.precision=${PRECISION:-bf16} training.val=false training.patience=0
	data.workers=0 data.augment.mosaic=0 data.augment.flipud=0.5 data.augment.degrees=0 data.augment.scale=0.2 seed=0 runs=$out"
# as many pictures in an epoch on both sides
whole=$((tiles / frames))
"$wildtrain" train $recipe data.root="$set" data.cache=ram data.sampler.repeat="$whole" name=whole experiment_name=runs
"$wildtrain" train $recipe data.root="$out/tiles" name=tiled experiment_name=runs
measure="data.root=$set evaluation.split=test training.threads=1 data.eval_batch=4 --json"
"$wildtrain" evaluate weights="$out/runs/whole" $measure out="$out/whole" > "$out/whole.json"
"$wildtrain" evaluate weights="$out/runs/tiled" $measure evaluation.tile=640 evaluation.overlap=0.2 out="$out/tiled" > "$out/tiled.json"
"$wildtrain" evaluate weights="$out/runs/whole" $measure evaluation.tile=640 out="$out/whole-in-tiles" > "$out/whole-in-tiles.json"
"${PYTHON:-python3}" - "$out" <<'EOF'
import json, sys
for name in ("whole", "tiled", "whole-in-tiles"):
    v = json.load(open(f"{sys.argv[1]}/{name}.json"))
    print(name, {k: round(v[k], 4) for k in ("recall", "best_recall", "AR100", "AP50", "AP")})
EOF
