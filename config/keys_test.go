package config_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/wildtrain/sdk/config"
)

var update = flag.Bool("update", false, "write docs/keys.md anew")

// docs/keys.md lists every key of the schema with its default and meaning.
func TestKeysDocument(t *testing.T) {
	const file = "../docs/keys.md"
	text, err := config.JSONSchema()
	require.NoError(t, err)
	var root map[string]any
	require.NoError(t, json.Unmarshal(text, &root))
	page := "# Keys of the configuration\n\n" +
		"<!-- Written from config/run.go: go test ./config -run TestKeysDocument -update -->\n\n" +
		"Any of them can be set in a file or as `key=value`; [configuration.md](configuration.md) tells how.\n"
	var sections []string
	rows := map[string]string{}
	for _, key := range config.Keys() {
		head := strings.Split(key, ".")
		section := strings.Join(head[:min(len(head)-1, 2)], ".")
		if rows[section] == "" {
			sections = append(sections, section)
		}
		rows[section] += keyRow(t, root, key)
	}
	for _, section := range sections {
		title := section
		if title == "" {
			title = "The run"
		}
		page += fmt.Sprintf("\n## %s\n\n| key | default | |\n|---|---|---|\n%s", title, rows[section])
	}
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(page), 0o644))
	}
	have, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, page, string(have), "write it anew with: go test ./config -run TestKeysDocument -update")
}

func keyRow(t *testing.T, schema map[string]any, key string) string {
	for _, k := range strings.Split(key, ".") {
		schema = schema["properties"].(map[string]any)[k].(map[string]any)
	}
	value := ""
	if d, ok := schema["default"]; ok && d != nil && d != "" {
		data, err := json.Marshal(d)
		require.NoError(t, err)
		value = "`" + string(data) + "`"
	}
	about, _ := schema["description"].(string)
	if list := config.Values(key); len(list) > 0 && list[0] != "true" && !strings.Contains(about, `"`) {
		about = strings.TrimPrefix(about+"; "+strings.Join(list, ", "), "; ")
	}
	return fmt.Sprintf("| `%s` | %s | %s |\n", key, value, strings.ReplaceAll(about, "|", `\|`))
}
