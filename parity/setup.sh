#!/bin/sh
# Makes the virtual environment of the Python peers: parity/setup.sh DIR
# Versions are pinned, since every golden file and every bench result names them.
# albumentations stays away on purpose: the peer would add augmentations of its own where it finds it.
set -eu
dir=${1:?usage: setup.sh DIR}
python=${PYTHON:-python3}
[ -x "$dir/bin/python" ] || "$python" -m venv "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check \
	torch==2.15.0 torchvision==0.29.2 timm==1.0.31 ultralytics==8.4.190 \
	pycocotools==2.0.11 scikit-learn==1.9.1 hydra-core==1.3.8 omegaconf==2.3.1 safetensors==0.8.0 numpy==2.4.6 \
	opencv-python==5.0.0.93 pillow==13.0.0 lvis==0.5.3 tidecv==1.0.1 torchmetrics==1.9.0 shapely==2.2.0
"$dir/bin/pip" install --quiet --disable-pip-version-check "moto[server,s3]==5.2.5" boto3==1.44.8 transformers==5.24.0 scipy==1.17.1
# sahi's suppression needs none of the command line that it asks for
"$dir/bin/pip" install --quiet --disable-pip-version-check --no-deps sahi==0.12.8
"$dir/bin/python" - <<'EOF'
from importlib import metadata
for name in ("torch", "torchvision", "timm", "ultralytics", "pycocotools", "safetensors", "numpy", "opencv-python", "pillow"):
    print(name, metadata.version(name))
EOF
