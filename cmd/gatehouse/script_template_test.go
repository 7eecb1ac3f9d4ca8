package main

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// matchJSON compares a JSON document with a template: the same members with
// the same values, no more and no fewer. A string of the form <KIND> or
// <KIND NAME> in the template is a hole for what can't be known before; the
// value of a named one is returned. The kinds are those of holes, any, and the
// times now, now-ms, in-SECONDS, rfc3339-in-SECONDS and
// minute-in-SECONDS.
func matchJSON(template, document string) (map[string]string, error) {
	var want, got any
	if err := json.Unmarshal([]byte(template), &want); err != nil {
		return nil, fmt.Errorf("the template is no JSON: %w", err)
	}
	if err := json.Unmarshal([]byte(document), &got); err != nil {
		return nil, fmt.Errorf("not one JSON document: %w", err)
	}
	named := map[string]string{}
	return named, match("", want, got, named)
}

// holes are the kinds of text, each a whole match.
var holes = map[string]*regexp.Regexp{
	"string":  regexp.MustCompile(`(?s)^.*$`),
	"text":    regexp.MustCompile(`(?s)^.+$`),
	"uuid":    regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`),
	"jwt":     regexp.MustCompile(`^eyJ[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+\.[0-9A-Za-z_-]+$`),
	"opaque":  regexp.MustCompile(`^[0-9A-Za-z_]+_[0-9A-Za-z]{36,}$`),
	"live":    regexp.MustCompile(`^live_[0-9A-Za-z]{36,}$`),
	"sandbox": regexp.MustCompile(`^sandbox_[0-9A-Za-z]{36,}$`),
}

// holeTolerance is how far a time may be from when it is compared.
const holeTolerance = time.Minute

func match(at string, want, got any, named map[string]string) error {
	switch want := want.(type) {
	case map[string]any:
		members, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %v, want an object", orRoot(at), got)
		}
		for name := range members {
			if _, ok := want[name]; !ok {
				return fmt.Errorf("%s.%s is there and should not be", at, name)
			}
		}
		for name, value := range want {
			member, ok := members[name]
			if !ok {
				return fmt.Errorf("%s.%s is missing", at, name)
			}
			if err := match(at+"."+name, value, member, named); err != nil {
				return err
			}
		}
		return nil
	case []any:
		elements, ok := got.([]any)
		if !ok || len(elements) != len(want) {
			return fmt.Errorf("%s is %v, want a list of %d", orRoot(at), got, len(want))
		}
		for i := range want {
			if err := match(at+"["+strconv.Itoa(i)+"]", want[i], elements[i], named); err != nil {
				return err
			}
		}
		return nil
	case string:
		if hole, ok := strings.CutPrefix(want, "<"); ok && strings.HasSuffix(hole, ">") {
			kind, name, _ := strings.Cut(strings.TrimSuffix(hole, ">"), " ")
			if err := fits(kind, got); err != nil {
				return fmt.Errorf("%s: %w", orRoot(at), err)
			}
			if name != "" {
				named[name] = fmt.Sprint(got)
			}
			return nil
		}
	}
	if want != got {
		return fmt.Errorf("%s is %#v, want %#v", orRoot(at), got, want)
	}
	return nil
}

func orRoot(at string) string {
	if at == "" {
		return "the document"
	}
	return at
}

// fits reports whether a value is of a hole's kind.
func fits(kind string, got any) error {
	text, isText := got.(string)
	if re := holes[kind]; re != nil {
		if !isText || !re.MatchString(text) {
			return fmt.Errorf("%#v is no %s", got, kind)
		}
		return nil
	}
	form, later := kind, 0
	if i := strings.LastIndex(kind, "in-"); i >= 0 {
		var err error
		if later, err = strconv.Atoi(kind[i+len("in-"):]); err != nil {
			return fmt.Errorf("no such kind of hole: %q", kind)
		}
		form = kind[:i+len("in")]
	}
	number, _ := got.(float64)
	var then time.Time
	var err error
	tolerance := holeTolerance
	switch form {
	case "any":
		return nil
	case "now", "in":
		then = time.Unix(int64(number), 0)
	case "now-ms":
		then = time.UnixMilli(int64(number))
	case "rfc3339-in":
		then, err = time.Parse(time.RFC3339, text)
	case "minute-in":
		then, err = time.Parse("2006-01-02T15:04Z", text)
		tolerance += time.Minute
	default:
		return fmt.Errorf("no such kind of hole: %q", kind)
	}
	off := time.Until(then) - time.Duration(later)*time.Second
	if err != nil || off.Abs() > tolerance {
		return fmt.Errorf("%#v is no %s: it is %v off", got, kind, off)
	}
	return nil
}

// The scripts prove nothing if the templates let everything pass.
func TestTemplates(t *testing.T) {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for _, c := range []struct {
		template, document string
		want               bool
	}{
		{`{"a":1,"b":["x",null]}`, `{"b":["x",null],"a":1}`, true},
		{`{"a":1}`, `{"a":1,"b":2}`, false},
		{`{"a":1,"b":2}`, `{"a":1}`, false},
		{`{"a":1}`, `{"a":"1"}`, false},
		{`{"a":null}`, `{"a":0}`, false},
		{`{"a":["x"]}`, `{"a":["x","x"]}`, false},
		{`{"a":1}`, `{"a":1}{}`, false},
		{`{"a":1}`, `{"a":1,"a":1}`, false},
		{`{"a":"<text>"}`, `{"a":""}`, false},
		{`{"a":"<text>"}`, `{"a":"x"}`, true},
		{`{"a":"<uuid>"}`, `{"a":"0d0b2b0e-0000-4000-8000-00000000000"}`, false},
		{`{"a":"<now>"}`, `{"a":` + now + `}`, true},
		{`{"a":"<now>"}`, `{"a":"` + now + `"}`, false},
		{`{"a":"<in-3600>"}`, `{"a":` + now + `}`, false},
		{`{"a":"<rfc3339-in-0>"}`, `{"a":"2020-01-01T00:00:00Z"}`, false},
		{`{"a":"<minute-in-0>"}`, `{"a":"2020-01-01T00:00Z"}`, false},
		{`{"a":"<nonsense>"}`, `{"a":"x"}`, false},
	} {
		if _, err := matchJSON(c.template, c.document); (err == nil) != c.want {
			t.Errorf("%s against %s: %v", c.document, c.template, err)
		}
	}
	named, err := matchJSON(`["<uuid ID>","<text NAME>"]`, `["0d0b2b0e-0000-4000-8000-000000000001","n"]`)
	if err != nil || !slices.Equal([]string{named["ID"], named["NAME"]}, []string{"0d0b2b0e-0000-4000-8000-000000000001", "n"}) {
		t.Errorf("%v, %v", named, err)
	}
}
