#!/bin/sh
# Makes the virtual environments of the tuning peers: parity/setup_optuna.sh DIR
# DIR gets Optuna 5.0 (whose numbers the golden files hold), DIR-4.9 the last 4.x,
# which has to open the same stores. Versions are pinned: golden files name them.
set -eu
dir=${1:?usage: setup_optuna.sh DIR}
python=${PYTHON:-python3}
make() { # DIR OPTUNA
	[ -x "$1/bin/python" ] || "$python" -m venv "$1"
	"$1/bin/pip" install --quiet --disable-pip-version-check \
		optuna=="$2" numpy==2.4.6 scipy cmaes scikit-learn==1.9.1 psycopg2-binary pymysql optuna-dashboard==0.21.0 pandas
}
make "$dir" 5.0.0
make "$dir-4.9" 4.9.0
"$dir/bin/pip" freeze | grep -iE 'optuna|numpy|scipy|cmaes|scikit|sqlalchemy'
