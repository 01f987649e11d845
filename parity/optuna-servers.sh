#!/bin/sh
# Throwaway Postgres and MariaDB (as MySQL) for the tuning's tests:
#     eval "$(parity/optuna-servers.sh start DIR)"; …; parity/optuna-servers.sh stop DIR
# Needs their programs installed (Debian: postgresql, mariadb-server). Both listen on the
# loopback interface only, keep their data below DIR and are as durable as they are by
# default. start prints WILDTRAIN_POSTGRES and WILDTRAIN_MYSQL, the URLs of empty databases.
set -eu
do=${1:?usage: optuna-servers.sh start|stop DIR} dir=${2:?usage: optuna-servers.sh start|stop DIR}
pg_port=${PGPORT:-54329} my_port=${MYSQL_PORT:-33069}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd)
PATH=$PATH:/usr/sbin
for bin in /usr/lib/postgresql/*/bin; do PATH=$bin:$PATH; done
if [ "$(id -u)" = 0 ]; then # Postgres refuses to be root
	chmod 755 "$dir"
	pg() { (cd / && runuser -u postgres -- env PATH="$PATH" "$@"); }
	my=mysql
else
	pg() { "$@"; }
	my=$(id -un)
fi
case $do in
start)
	if [ ! -d "$dir/pg" ]; then
		mkdir "$dir/pg" && { [ "$(id -u)" != 0 ] || chown postgres "$dir/pg"; }
		pg initdb -D "$dir/pg" -U wildtrain --auth=trust >&2
	fi
	pg pg_ctl -D "$dir/pg" -w -l "$dir/pg/log" -o "-p $pg_port -k $dir/pg -c listen_addresses=127.0.0.1" start >&2
	pg psql -qh 127.0.0.1 -p "$pg_port" -U wildtrain postgres -c 'CREATE DATABASE tune' >&2 || true
	if [ ! -d "$dir/my" ]; then
		mkdir "$dir/my" && { [ "$(id -u)" != 0 ] || chown mysql "$dir/my"; }
		mariadb-install-db --no-defaults --user="$my" --datadir="$dir/my" --auth-root-authentication-method=normal >&2
	fi
	setsid mariadbd --no-defaults --user="$my" --datadir="$dir/my" --socket="$dir/my/socket" --pid-file="$dir/my/pid" --bind-address=127.0.0.1 --port="$my_port" >"$dir/my.log" 2>&1 </dev/null &
	for _ in $(seq 60); do
		mariadb --no-defaults -uroot -S "$dir/my/socket" -e "CREATE DATABASE IF NOT EXISTS tune CHARACTER SET utf8mb4; CREATE USER IF NOT EXISTS wildtrain@'127.0.0.1' IDENTIFIED BY 'p@ss'; GRANT ALL ON *.* TO wildtrain@'127.0.0.1'" 2>/dev/null && break
		sleep 1
	done
	echo "export WILDTRAIN_POSTGRES=postgresql://wildtrain@127.0.0.1:$pg_port/tune"
	echo "export WILDTRAIN_MYSQL=mysql://wildtrain:p%40ss@127.0.0.1:$my_port/tune"
	;;
stop)
	pg pg_ctl -D "$dir/pg" -m fast stop >&2 || true
	[ ! -f "$dir/my/pid" ] || kill "$(cat "$dir/my/pid")"
	;;
*) echo "optuna-servers.sh: $do is neither start nor stop" >&2 && exit 2 ;;
esac
