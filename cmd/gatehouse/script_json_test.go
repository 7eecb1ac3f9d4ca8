package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"
)

// The commands that read JSON, from the standard output of the command before
// or, with -f FILE first, from a file (answer.body is what curl kept):
//
//	jsonget PATH NAME     puts the value at PATH into $NAME
//	jsonis PATH VALUE     the value at PATH is VALUE (as text; lists by their length,
//	                      "null" is null);  ! jsonis: it is not
//	jsonhas PATH          there is something at PATH;  ! jsonhas: nothing is
//	mode FILE OCTAL       the file's permissions
//
// A path is written like .items[0].client_id; [-1] is the last element.
var jsonCommands = map[string]func(*testscript.TestScript, bool, []string){
	"jsonget": jsonGet, "jsonis": jsonIs, "jsonhas": jsonHas, "mode": fileMode,
}

func jsonAt(ts *testscript.TestScript, args *[]string, want int) (value any, found bool) {
	file := "stdout"
	if len(*args) > 1 && (*args)[0] == "-f" {
		file, *args = (*args)[1], (*args)[2:]
	}
	if len(*args) != want {
		ts.Fatalf("want %d arguments", want)
	}
	var document any
	text := ts.ReadFile(file)
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		ts.Fatalf("%s is not one JSON document: %v\n%s", file, err, text)
	}
	value, found = lookup(document, (*args)[0])
	return value, found
}

func lookup(v any, path string) (any, bool) {
	path = strings.ReplaceAll(path, "[", ".[")
	for _, step := range strings.Split(strings.TrimPrefix(path, "."), ".") {
		if index, ok := strings.CutPrefix(step, "["); ok {
			i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
			list, isList := v.([]any)
			if i < 0 {
				i += len(list)
			}
			if err != nil || !isList || i < 0 || i >= len(list) {
				return nil, false
			}
			v = list[i]
			continue
		}
		if step == "" {
			continue
		}
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[step]; !ok {
			return nil, false
		}
	}
	return v, true
}

func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		return strconv.Itoa(len(v))
	}
	return fmt.Sprint(v)
}

func jsonGet(ts *testscript.TestScript, neg bool, args []string) {
	v, found := jsonAt(ts, &args, 2)
	if neg || !found {
		ts.Fatalf("nothing is at %s", args[0])
	}
	ts.Setenv(args[1], asText(v))
}

func jsonIs(ts *testscript.TestScript, neg bool, args []string) {
	v, found := jsonAt(ts, &args, 2)
	if !found {
		ts.Fatalf("nothing is at %s", args[0])
	}
	if got := asText(v); (got == args[1]) == neg {
		ts.Fatalf("%s is %q, want %q (negated: %t)", args[0], got, args[1], neg)
	}
}

func jsonHas(ts *testscript.TestScript, neg bool, args []string) {
	if v, found := jsonAt(ts, &args, 1); found == neg {
		ts.Fatalf("%s is %v (wanted: %t)", args[0], v, !neg)
	}
}

func fileMode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mode FILE OCTAL")
	}
	files, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file is called %s", args[0])
	}
	for _, f := range files {
		info, err := os.Stat(f)
		ts.Check(err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[1] {
			ts.Fatalf("%s has mode %s, want %s", f, got, args[1])
		}
	}
}
