package secret_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/secret"
)

const canary = "canary-7f3a"

// Each way in which Go code commonly prints a value must show nothing of it.
func TestTextNeverPrints(t *testing.T) {
	s := secret.New(canary)
	nested := struct {
		Name   string
		Secret secret.Text
		Many   []secret.Text
		ByName map[string]secret.Text
		Ptr    *secret.Text
		hidden secret.Text
		deeper struct{ hidden secret.Text }
	}{"n", s, []secret.Text{s}, map[string]secret.Text{"k": s}, &s, s, struct{ hidden secret.Text }{s}}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", nested)
		fmt.Fprintf(&out, verb+"\n", &s)
	}
	for _, h := range []slog.Handler{
		slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}),
		slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}),
	} {
		slog.New(h).Debug("m", "secret", s, "nested", nested)
	}
	j, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	x, err := xml.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(x)
	fmt.Fprint(&out, fmt.Errorf("refused: %w: %v", fmt.Errorf("inner %v", s), s))

	for _, form := range []string{canary, fmt.Sprintf("%x", canary), strings.ToUpper(fmt.Sprintf("%x", canary))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("output holds the secret as %q:\n%s", form, out.String())
		}
	}
}

func TestEqual(t *testing.T) {
	if !secret.New("a").Equal(secret.New("a")) || secret.New("a").Equal(secret.New("b")) || secret.New("a").Equal(secret.New("ab")) {
		t.Error("Equal disagrees with ==")
	}
	if !(secret.Text{}).IsZero() || secret.New("a").IsZero() || secret.New("a").Reveal() != "a" {
		t.Error("IsZero or Reveal is wrong")
	}
}
