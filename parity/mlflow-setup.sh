#!/bin/sh
# Makes the virtual environments of MLflow's own releases that package mlflow is compared with:
# parity/mlflow-setup.sh DIR [SITE] gives DIR/2.22, DIR/3.17 (server and client) and
# DIR/3.1, DIR/3.4, DIR/3.10 (client, enough to open a SQLite store). Versions are pinned.
# SITE is the site-packages folder of an environment with torch (parity/setup.sh), for models that need it.
set -eu
dir=${1:?usage: mlflow-setup.sh DIR}
python=${PYTHON:-python3}
make() { # name, requirements...
	name=$1
	shift
	[ -x "$dir/$name/bin/python" ] || "$python" -m venv "$dir/$name"
	"$dir/$name/bin/pip" install --quiet --disable-pip-version-check "$@"
	"$dir/$name/bin/python" -c 'from importlib import metadata as m; print(next(d.metadata["Name"]+" "+d.version for n in ("mlflow","mlflow-skinny") for d in m.distributions(name=n)))'
}
make 3.17 mlflow==3.17.2 onnx onnxruntime "sqlalchemy<2.1"
make 2.22 mlflow==2.22.4 "sqlalchemy<2.1"
[ -z "${2:-}" ] || echo "$2" >"$("$dir/3.17/bin/python" -c 'import site; print(site.getsitepackages()[0])')/zz-torch.pth"
for v in 3.1.4 3.4.0 3.10.1; do
	make "${v%.*}" mlflow-skinny==$v pandas alembic 'sqlalchemy<2.1' 
done
