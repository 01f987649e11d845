package rdb

import (
	"database/sql"
	"fmt"
	"strings"
)

// Dialect is what differs between databases.
type Dialect struct {
	name      string
	serial    string // type of a primary key that counts by itself
	double    string
	timestamp string
	key       string // the column name "key", quoted
	numbered  bool   // placeholders are $1, $2 …
	returning bool   // INSERT … RETURNING, else LastInsertId
	lock      string // locks the rows of a SELECT
	age       string // seconds since the column %s, by the database's clock
	upsert    string // begins the part of an INSERT for rows that exist; %s is the conflicting columns
	excluded  string // a new row's column %s in that part
	isolation sql.IsolationLevel
	enum      func(name string, values ...string) (column, before string)
}

// The dialects that Optuna's schema has.
var (
	SQLite = Dialect{
		name: "sqlite", serial: "INTEGER NOT NULL", double: "FLOAT", timestamp: "DATETIME", key: `"key"`, returning: true,
		age:    "(julianday('now') - julianday(%s)) * 86400.0",
		upsert: "ON CONFLICT (%s) DO UPDATE SET", excluded: "excluded.%s",
		enum: func(_ string, values ...string) (string, string) {
			longest := 0
			for _, v := range values {
				longest = max(longest, len(v))
			}
			return fmt.Sprintf("VARCHAR(%d)", longest), ""
		},
	}
	Postgres = Dialect{
		name: "postgresql", serial: "SERIAL NOT NULL", double: "DOUBLE PRECISION", timestamp: "TIMESTAMP", key: `"key"`,
		numbered: true, returning: true, lock: " FOR UPDATE",
		age:    "EXTRACT(EPOCH FROM CURRENT_TIMESTAMP::timestamp - %s)",
		upsert: "ON CONFLICT (%s) DO UPDATE SET", excluded: "excluded.%s",
		enum: func(name string, values ...string) (string, string) {
			return name, "DO $$ BEGIN CREATE TYPE " + name + " AS ENUM (" + quoted(values) + "); EXCEPTION WHEN duplicate_object THEN NULL; END $$"
		},
	}
	MySQL = Dialect{
		name: "mysql", serial: "INTEGER NOT NULL AUTO_INCREMENT", double: "DOUBLE", timestamp: "DATETIME(6)", key: "`key`", lock: " FOR UPDATE",
		// a count behind a lock must not be that of an older snapshot
		isolation: sql.LevelReadCommitted,
		age:       "TIMESTAMPDIFF(MICROSECOND, %s, CURRENT_TIMESTAMP(6)) / 1000000.0",
		upsert:    "ON DUPLICATE KEY UPDATE", excluded: "VALUES(%s)",
		enum: func(_ string, values ...string) (string, string) { return "ENUM(" + quoted(values) + ")", "" },
	}
)

func quoted(values []string) string { return "'" + strings.Join(values, "','") + "'" }

// bind numbers the placeholders where the database wants that.
func (d *Dialect) bind(query string) string {
	if !d.numbered {
		return query
	}
	var b strings.Builder
	n := 0
	for _, r := range query {
		if r != '?' {
			b.WriteRune(r)
			continue
		}
		n++
		fmt.Fprintf(&b, "$%d", n)
	}
	return b.String()
}

// insertOrSet is an INSERT of one row that changes the last columns of a row that
// exists.
func (d *Dialect) insertOrSet(table string, unique []string, set ...string) string {
	return insert(table, 1, append(append([]string{}, unique...), set...)...) + d.orSet(unique, set...)
}

// insert is an INSERT of n rows.
func insert(table string, n int, columns ...string) string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")"
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", table, strings.Join(columns, ", "), strings.TrimSuffix(strings.Repeat(row+", ", n), ", "))
}

// orSet ends an INSERT: a row that exists takes the new one's columns.
func (d *Dialect) orSet(unique []string, set ...string) string {
	out := " " + d.upsert
	if strings.Contains(d.upsert, "%s") {
		out = fmt.Sprintf(out, strings.Join(unique, ", "))
	}
	for i, c := range set {
		if i > 0 {
			out += ","
		}
		out += " " + c + " = " + fmt.Sprintf(d.excluded, c)
	}
	return out
}

// orKeep ends an INSERT: a row that exists stays as it is.
func (d *Dialect) orKeep(unique ...string) string {
	if d.name == "mysql" { // whose INSERT IGNORE passes over other faults, too
		return " " + d.upsert + " " + unique[0] + " = " + unique[0]
	}
	return " ON CONFLICT (" + strings.Join(unique, ", ") + ") DO NOTHING"
}

// schema lists the statements that make Optuna's tables of revision v3.2.0.a.
func (d *Dialect) schema() []string {
	var out []string
	enum := func(name string, values ...string) string {
		column, before := d.enum(name, values...)
		if before != "" {
			out = append(out, before)
		}
		return column
	}
	direction := enum("studydirection", "NOT_SET", "MINIMIZE", "MAXIMIZE")
	state := enum("trialstate", "RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING")
	value := enum("trialvaluetype", "FINITE", "INF_POS", "INF_NEG")
	intermediate := enum("trialintermediatevaluetype", "FINITE", "INF_POS", "INF_NEG", "NAN")
	table := func(name, id string, rest ...string) {
		if !strings.Contains(id, " ") {
			id += " " + d.serial
		}
		lines := append([]string{id}, rest...)
		id, _, _ = strings.Cut(id, " ")
		lines = append(lines, "PRIMARY KEY ("+id+")")
		out = append(out, "CREATE TABLE IF NOT EXISTS "+name+" (\n\t"+strings.Join(lines, ",\n\t")+"\n)")
	}
	const ofStudy, ofTrial = "FOREIGN KEY(study_id) REFERENCES studies (study_id)", "FOREIGN KEY(trial_id) REFERENCES trials (trial_id)"
	unique := func(columns string) string { return "UNIQUE (" + columns + ")" }
	table("studies", "study_id", append([]string{"study_name VARCHAR(512) NOT NULL"}, d.inlined("UNIQUE INDEX ix_studies_study_name (study_name)")...)...)
	table("study_directions", "study_direction_id", "direction "+direction+" NOT NULL", "study_id INTEGER NOT NULL", "objective INTEGER NOT NULL", unique("study_id, objective"), ofStudy)
	for _, kind := range []string{"user", "system"} {
		table("study_"+kind+"_attributes", "study_"+kind+"_attribute_id", "study_id INTEGER", d.key+" VARCHAR(512)", "value_json TEXT", unique("study_id, "+d.key), ofStudy)
	}
	table("trials", "trial_id", append(d.inlined("INDEX ix_trials_study_id (study_id)"),
		"number INTEGER", "study_id INTEGER", "state "+state+" NOT NULL", "datetime_start "+d.timestamp, "datetime_complete "+d.timestamp, ofStudy)...)
	for _, kind := range []string{"user", "system"} {
		table("trial_"+kind+"_attributes", "trial_"+kind+"_attribute_id", "trial_id INTEGER", d.key+" VARCHAR(512)", "value_json TEXT", unique("trial_id, "+d.key), ofTrial)
	}
	table("trial_params", "param_id", "trial_id INTEGER", "param_name VARCHAR(512)", "param_value "+d.double, "distribution_json TEXT", unique("trial_id, param_name"), ofTrial)
	table("trial_values", "trial_value_id", "trial_id INTEGER NOT NULL", "objective INTEGER NOT NULL", "value "+d.double, "value_type "+value+" NOT NULL", unique("trial_id, objective"), ofTrial)
	table("trial_intermediate_values", "trial_intermediate_value_id", "trial_id INTEGER NOT NULL", "step INTEGER NOT NULL", "intermediate_value "+d.double, "intermediate_value_type "+intermediate+" NOT NULL", unique("trial_id, step"), ofTrial)
	table("trial_heartbeats", "trial_heartbeat_id", "trial_id INTEGER NOT NULL", "heartbeat "+d.timestamp+" NOT NULL", unique("trial_id"), ofTrial)
	table("version_info", "version_info_id INTEGER NOT NULL", "schema_version INTEGER", "library_version VARCHAR(256)", "CHECK (version_info_id=1)")
	out = append(out, "CREATE TABLE IF NOT EXISTS alembic_version (\n\tversion_num VARCHAR(32) NOT NULL,\n\tCONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)\n)")
	if d.name == "mysql" { // which has no such clause: see inlined
		return out
	}
	return append(out,
		"CREATE UNIQUE INDEX IF NOT EXISTS ix_studies_study_name ON studies (study_name)",
		"CREATE INDEX IF NOT EXISTS ix_trials_study_id ON trials (study_id)",
	)
}

// inlined is an index that MySQL makes together with its table.
func (d *Dialect) inlined(index string) []string {
	if d.name == "mysql" {
		return []string{index}
	}
	return nil
}
