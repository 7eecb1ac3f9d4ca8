// Package rules reads what a gate asks of each part of an API, as settings have
// it.
package rules

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/gate"
	"github.com/gatehouse-auth/gatehouse/internal/strictyaml"
)

// A Rule is one of a list; the first that matches decides.
type Rule struct {
	Path        string   `yaml:"path"`
	Methods     []string `yaml:"methods"`
	Public      bool     `yaml:"public"`
	Environment string   `yaml:"environment"`
	Scope       string   `yaml:"scope"`
	Audience    string   `yaml:"audience"`
	Client      string   `yaml:"client"`
	Dialect     string   `yaml:"dialect"`
}

// Routes makes routes of rules. A rule that names no environment is of env.
func Routes(list []Rule, env gatehouse.Environment) (*gate.Routes, error) {
	var routes []gate.Route
	for i, r := range list {
		route := gate.Route{Path: r.Path, Methods: r.Methods, Public: r.Public}
		route.Want = gatehouse.Requirement{Audience: r.Audience, Client: gatehouse.ClientID(r.Client), Dialect: r.Dialect, Scopes: strings.Fields(r.Scope)}
		if len(route.Want.Scopes) == 0 {
			route.Want.Scopes = nil
		}
		if !r.Public || r.Environment != "" {
			of, err := gatehouse.ParseEnvironment(cmp.Or(r.Environment, string(env)))
			if err != nil {
				return nil, fmt.Errorf("route %d (%s): environment: say sandbox or live", i+1, r.Path)
			}
			route.Want.Environment = of
		}
		routes = append(routes, route)
	}
	return gate.NewRoutes(routes)
}

// file is the form of a file of rules: what a gate.yaml has for them, and no more.
type file struct {
	Environment string `yaml:"environment"`
	Routes      []Rule `yaml:"routes"`
}

// Load reads a file of rules (YAML): `routes`, and `environment` for those that
// name none.
func Load(path string) (*gate.Routes, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var f file
	if err := strictyaml.Decode(b, &f); err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	if len(f.Routes) == 0 {
		return nil, fmt.Errorf("%s: it has no routes, so nothing would pass: write routes: [{path: /orders/, scope: read}]", path)
	}
	routes, err := Routes(f.Routes, gatehouse.Environment(f.Environment))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return routes, nil
}
