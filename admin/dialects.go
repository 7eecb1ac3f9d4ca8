package admin

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/dialect"
)

// DialectPath names a dialect in a path.
type DialectPath struct {
	Name string `path:"name" doc:"dialect name"`
}

func (s *server) dialectRoutes(api huma.API) {
	tags := []string{"Dialects"}
	route(s, api, huma.Operation{
		OperationID: "list-dialects", Method: http.MethodGet, Path: "/dialects", Tags: tags, Summary: "List the dialects that this server speaks",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{}) (List[Dialect], error) {
		out := List[Dialect]{Items: []Dialect{}}
		for _, d := range s.dialects() {
			out.Items = append(out.Items, DescribeDialect(d))
		}
		return out, nil
	})

	route(s, api, huma.Operation{
		OperationID: "show-dialect", Method: http.MethodGet, Path: "/dialects/{name}", Tags: tags, Summary: "Show a dialect's file",
	}, func(ctx context.Context, by gatehouse.Actor, in *DialectPath) (DialectSource, error) {
		d, err := s.knownDialect(in.Name)
		if err != nil {
			return DialectSource{}, err
		}
		return DialectSource{DescribeDialect(d), string(d.Source)}, nil
	})

	route(s, api, huma.Operation{
		OperationID: "show-dialect-docs", Method: http.MethodGet, Path: "/dialects/{name}/docs", Tags: tags, Summary: "Show a dialect's reference page",
	}, func(ctx context.Context, by gatehouse.Actor, in *DialectPath) (DialectDocs, error) {
		d, err := s.knownDialect(in.Name)
		if err != nil {
			return DialectDocs{}, err
		}
		var page bytes.Buffer
		if err := d.Markdown(&page); err != nil {
			return DialectDocs{}, err
		}
		return DialectDocs{d.Name, page.String()}, nil
	})

	route(s, api, huma.Operation{
		OperationID: "check-dialect", Method: http.MethodPost, Path: "/dialects/check", DefaultStatus: http.StatusOK, Tags: tags,
		Summary: "Say what is wrong with a dialect file, and whether it fits beside the others",
	}, func(ctx context.Context, by gatehouse.Actor, in *struct{ Body CheckDialect }) (DialectCheck, error) {
		d, err := dialect.Load(in.Body.Name, []byte(in.Body.Source))
		if err != nil {
			return DialectCheck{Problems: strings.Split(err.Error(), "\n"), Warnings: []string{}}, nil
		}
		return CheckAgainst(d, s.dialects()), nil
	})
}

func (s *server) knownDialect(name string) (*dialect.Dialect, error) {
	if d := s.dialect(name); d != nil {
		return d, nil
	}
	e := gatehouse.Refuse(gatehouse.NotFound, gatehouse.ReasonMalformed,
		fmt.Sprintf("this server speaks no dialect %q: `gatehouse dialect list` shows those it does", name))
	e.Field = "name"
	return nil, e
}

// DescribeDialect is a dialect as lists show it.
func DescribeDialect(d *dialect.Dialect) Dialect {
	out := Dialect{Name: d.Name, Title: d.Title, Summary: d.Summary, Operations: []string{}, Builtin: slices.Contains(dialect.BuiltinNames(), d.Name)}
	for _, op := range d.Operations {
		out.Operations = append(out.Operations, string(op.Name))
	}
	return out
}

// CheckAgainst says whether d could be used beside the others. One of the same
// name is what d would replace.
func CheckAgainst(d *dialect.Dialect, others []*dialect.Dialect) DialectCheck {
	shown := DescribeDialect(d)
	out := DialectCheck{Dialect: &shown, Problems: []string{}, Warnings: append([]string{}, d.Warnings()...)}
	beside := []*dialect.Dialect{d}
	for _, o := range others {
		if o.Name != d.Name {
			beside = append(beside, o)
		}
	}
	if err := dialect.Conflict(beside...); err != nil {
		out.Problems = append(out.Problems, err.Error())
	}
	out.Valid = len(out.Problems) == 0
	return out
}
