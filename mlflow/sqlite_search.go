package mlflow

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// join says in which table the keys and values of an entity lie.
type join struct {
	table, key string
	value      string   // column; "" for value
	on         []string // columns that it shares with the searched table
	nan        bool     // it has is_nan
}

// builder makes one SQL query of a search. Everything a user writes is a bound
// parameter; column names come from the tables below only.
type builder struct {
	table, id string
	language  language
	columns   map[string]string // columns of attributes that are not named like them
	exprs     map[string]func(comparison) (string, []any)
	tags      map[string]join

	where     []string
	whereArgs []any
	joins     []string
	joinArgs  []any
	order     []string
	limit     int
	offset    int
}

// and adds a condition.
func (b *builder) and(condition string, args ...any) {
	b.where, b.whereArgs = append(b.where, condition), append(b.whereArgs, args...)
}

// view keeps what is in the stages that v sees.
func (b *builder) view(v View, column string) {
	switch v {
	case "", ActiveOnly:
		b.and(b.table+"."+column+" = ?", Active)
	case DeletedOnly:
		b.and(b.table+"."+column+" = ?", Deleted)
	}
}

// search takes a query in. defaults are the order after the user's, "column DESC".
func (b *builder) search(q Query, most, limit int, defaults ...string) error {
	switch {
	case q.MaxResults < 0 || q.MaxResults > limit:
		return invalid("max_results is %d; it must be between 1 and %d", q.MaxResults, limit)
	case q.MaxResults > 0:
		most = q.MaxResults
	}
	b.limit = most
	var err error
	if b.offset, err = parseToken(q.Token); err != nil {
		return err
	}
	conditions, err := b.language.parseFilter(q.Filter)
	if err != nil {
		return err
	}
	for _, c := range conditions {
		b.compare(c)
	}
	terms, err := b.language.parseOrder(q.OrderBy)
	if err != nil {
		return err
	}
	var named []string
	for i, o := range terms {
		named = append(named, b.orderTerm(i, o))
	}
	for _, d := range defaults {
		if name, _, _ := strings.Cut(d, " "); !slices.Contains(named, b.table+"."+name) {
			b.order = append(b.order, b.table+"."+d)
		}
	}
	return nil
}

// columnOf is the column of an attribute.
func (b *builder) columnOf(key string) string {
	if c, ok := b.columns[key]; ok {
		key = c
	}
	return b.table + "." + key
}

func (b *builder) compare(c comparison) {
	if c.entity == ofAttribute {
		if expr, ok := b.exprs[c.key]; ok {
			condition, args := expr(c)
			b.and(condition, args...)
			return
		}
		condition, args := c.sql(b.columnOf(c.key))
		b.and(condition, args...)
		return
	}
	if c.entity == ofDataset {
		b.compareDataset(c)
		return
	}
	j := b.tags[c.entity]
	exists := "EXISTS (SELECT 1 FROM " + j.table + " j WHERE " + b.on("j", j) + " AND j." + j.key + " = ?"
	switch c.op {
	case "IS NULL":
		b.and("NOT "+exists+")", c.key)
	case "IS NOT NULL":
		b.and(exists+")", c.key)
	default:
		condition, args := c.sql("j." + j.column())
		switch { // NaN is stored as 0 and equals nothing
		case j.nan && c.op == "!=":
			condition = "(" + condition + " OR j.is_nan)"
		case j.nan:
			condition += " AND NOT j.is_nan"
		}
		b.and(exists+" AND "+condition+")", append([]any{c.key}, args...)...)
	}
}

func (j join) column() string {
	if j.value == "" {
		return "value"
	}
	return j.value
}

func (b *builder) on(alias string, j join) string {
	var parts []string
	for _, c := range j.on {
		parts = append(parts, alias+"."+c+" = "+b.table+"."+c)
	}
	return strings.Join(parts, " AND ")
}

// compareDataset asks for runs with a data set that fits.
func (b *builder) compareDataset(c comparison) {
	const inputs = `EXISTS (SELECT 1 FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id AND i.source_type = 'DATASET'`
	if c.key == "context" {
		condition, args := c.sql("t.value")
		b.and(inputs+` JOIN input_tags t ON t.input_uuid = i.input_uuid AND t.name = 'mlflow.data.context' WHERE i.destination_id = runs.run_uuid AND `+condition+`)`, args...)
		return
	}
	condition, args := c.sql("d." + c.key)
	b.and(inputs+` WHERE i.destination_id = runs.run_uuid AND `+condition+`)`, args...)
}

// sql compares a column.
func (c comparison) sql(column string) (string, []any) {
	switch c.op {
	case "IN", "NOT IN":
		return column + " " + c.op + " (" + marks(len(c.list)) + ")", anys(c.list)
	case "ILIKE":
		return "lower(" + column + ") LIKE lower(?)", []any{c.text}
	}
	value := any(c.text)
	if c.numeric {
		value = c.number
	}
	return column + " " + c.op + " ?", []any{value}
}

// orderTerm adds one term: what is absent comes last, NaN before it. It returns
// the column of an attribute, for the defaults.
func (b *builder) orderTerm(i int, o order) string {
	direction := ""
	if o.descending {
		direction = " DESC"
	}
	if o.entity == ofAttribute {
		c := b.columnOf(o.key)
		b.order = append(b.order, "("+c+" IS NULL)", c+direction)
		return c
	}
	j, alias := b.tags[o.entity], fmt.Sprintf("o%d", i)
	b.joins = append(b.joins, "LEFT JOIN "+j.table+" "+alias+" ON "+b.on(alias, j)+" AND "+alias+"."+j.key+" = ?")
	b.joinArgs = append(b.joinArgs, o.key)
	c := alias + "." + j.column()
	rank := "(" + c + " IS NULL)"
	if j.nan {
		rank = "CASE WHEN " + alias + ".is_nan THEN 1 WHEN " + c + " IS NULL THEN 2 ELSE 0 END"
	}
	b.order = append(b.order, rank, c+direction)
	return ""
}

// query selects columns of what was found, one row more than the page holds.
func (b *builder) query(columns ...string) string {
	for i, c := range columns {
		columns[i] = b.table + "." + c
	}
	text := "SELECT " + strings.Join(columns, ", ") + " FROM " + b.table + " " + strings.Join(b.joins, " ")
	if len(b.where) > 0 {
		text += " WHERE " + strings.Join(b.where, " AND ")
	}
	return text + " ORDER BY " + strings.Join(b.order, ", ") + fmt.Sprintf(" LIMIT %d OFFSET %d", b.limit+1, b.offset)
}

func (b *builder) args() []any { return append(slices.Clone(b.joinArgs), b.whereArgs...) }

// pageOf cuts the row too many off and tells where the next page begins.
func pageOf[T any](b *builder, rows []T) ([]T, string) {
	if len(rows) <= b.limit {
		return rows, ""
	}
	return rows[:b.limit], pageToken(b.offset + b.limit)
}

type offsetToken struct {
	Offset int `json:"offset"`
}

// pageToken has the form of MLflow's own.
func pageToken(offset int) string {
	data, _ := json.Marshal(offsetToken{offset}) // a number in a struct
	return base64.StdEncoding.EncodeToString(data)
}

func parseToken(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	data, err := base64.StdEncoding.DecodeString(token)
	var o offsetToken
	if err == nil {
		err = json.Unmarshal(data, &o)
	}
	if err != nil || o.Offset < 0 {
		return 0, invalid("%.100q is no page token", token)
	}
	return o.Offset, nil
}
