package postgres

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
)

func TestDiagnose(t *testing.T) {
	url := postgrestest.Start(t).URL(t)
	empty, err := Diagnose(t.Context(), url)
	if err != nil || empty.Schema != 0 {
		t.Fatal(empty, err)
	}
	open(t, url, Options{})
	d, err := Diagnose(t.Context(), url)
	if err != nil || d.Schema != d.KnownSchema || d.Schema == 0 || d.TooNew || d.Clock.Abs() > time.Second {
		t.Fatalf("%+v, %v", d, err)
	}
	for name, want := range map[string]string{"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "wal_level": "replica"} {
		if d.Params[name] == "" {
			t.Errorf("%s is not known; a server that keeps its promises has %s", name, want)
		}
	}
	sep := "?"
	if strings.Contains(url, "?") {
		sep = "&"
	}
	weak, err := Diagnose(t.Context(), url+sep+"options=-c%20synchronous_commit%3Doff")
	if err != nil || weak.Params["synchronous_commit"] != "off" {
		t.Errorf("%+v, %v", weak, err)
	}
	s := open(t, url, Options{})
	if _, err := s.reads.Exec(t.Context(), "INSERT INTO gatehouse_schema (version, oldest_reader) VALUES (1000, 1000)"); err != nil {
		t.Fatal(err)
	}
	if later, err := Diagnose(t.Context(), url); err != nil || !later.TooNew || later.Schema != 1000 {
		t.Errorf("%+v, %v", later, err)
	}
	if _, err := Diagnose(t.Context(), "postgres://gatehouse:hunter2@127.0.0.1:1/none"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	for text, want := range map[string]Route{
		"postgres://db.example/x":                                {"db.example", "prefer"},
		"postgres://u:p@10.0.0.1:6432/x?sslmode=require":         {"10.0.0.1", "require"},
		"postgres:///x?host=/var/run/postgresql&sslmode=disable": {"/var/run/postgresql", "disable"},
	} {
		if got, err := RouteOf(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}
