package rdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"
)

// OpenURL opens a database by the address that Optuna takes, which is SQLAlchemy's:
//
//	sqlite:///FILE
//	postgresql://USER:PASSWORD@HOST:PORT/NAME
//	mysql://USER:PASSWORD@HOST:PORT/NAME
//
// User and password are percent-encoded. A Python driver's name behind the scheme
// (postgresql+psycopg2, mysql+pymysql) is passed over. What follows a question mark
// are settings of the Go drivers, such as sslmode (pgx) and tls (go-sql-driver/mysql).
func OpenURL(ctx context.Context, address string) (*Storage, error) {
	scheme, rest, ok := strings.Cut(address, "://")
	scheme, _, _ = strings.Cut(scheme, "+")
	if !ok {
		return nil, errors.New("rdb: open: the address has no scheme: want sqlite:///FILE, postgresql://… or mysql://…")
	}
	switch scheme {
	case "sqlite":
		file, ok := strings.CutPrefix(rest, "/")
		if !ok || file == "" {
			return nil, errors.New("rdb: open: an address of SQLite is sqlite:///FILE")
		}
		return OpenSQLite(ctx, file)
	case "postgresql", "postgres":
		return openServer(ctx, "pgx", "postgres://"+rest, Postgres)
	case "mysql", "mariadb":
		dsn, err := mysqlDSN("mysql://" + rest)
		if err != nil {
			return nil, err
		}
		return openServer(ctx, "mysql", dsn, MySQL)
	}
	return nil, fmt.Errorf("rdb: open: %q is no known database: want sqlite, postgresql or mysql", scheme)
}

func openServer(ctx context.Context, driver, dsn string, dialect Dialect) (*Storage, error) {
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("rdb: open %s: %w", dialect.name, err)
	}
	return own(ctx, db, dialect)
}

// own opens a database that the storage closes.
func own(ctx context.Context, db *sql.DB, dialect Dialect) (*Storage, error) {
	s, err := Open(ctx, db, dialect)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.owned = true
	return s, nil
}

// mysqlDSN turns an address into what the Go driver takes. Its errors do not
// show the password.
func mysqlDSN(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		var parse *url.Error
		if errors.As(err, &parse) {
			err = parse.Err
		}
		return "", fmt.Errorf("rdb: open: address of MySQL: %w", err)
	}
	c, query := mysql.NewConfig(), u.Query()
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	c.DBName, c.Net, c.Addr = strings.TrimPrefix(u.Path, "/"), "tcp", u.Host
	if u.Port() == "" {
		c.Addr = net.JoinHostPort(u.Hostname(), "3306")
	}
	if socket := query.Get("unix_socket"); socket != "" { // PyMySQL's name
		c.Net, c.Addr = "unix", socket
		query.Del("unix_socket")
	}
	dsn := c.FormatDSN()
	if len(query) > 0 {
		glue := "?"
		if strings.Contains(dsn[strings.LastIndex(dsn, "/"):], "?") {
			glue = "&"
		}
		dsn += glue + query.Encode()
	}
	return dsn, nil
}

// OpenSQLite opens or makes a SQLite file. Transactions begin immediate and wait
// up to a minute for other processes; durability is SQLite's default (FULL).
func OpenSQLite(ctx context.Context, file string) (*Storage, error) {
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() + "?_txlock=immediate&_pragma=busy_timeout(60000)"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("rdb: open %s: %w", file, err)
	}
	db.SetMaxOpenConns(1) // one writer: within the process nobody waits for a lock
	s, err := own(ctx, db, SQLite)
	if err != nil {
		err = fmt.Errorf("rdb: open %s: %w", file, err)
	}
	return s, err
}
