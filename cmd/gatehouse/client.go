package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/admin"
)

func clientCommand() *cobra.Command {
	return administers(group("client", "Create, change and stop clients",
		clientCreate(), clientList(), clientShow(), clientUpdate(),
		clientState("disable", "Stop a client and everything it holds, until it is enabled again", "disabled"),
		clientState("enable", "Let a disabled client obtain and use tokens again", "enabled"),
		clientState("delete", "Stop a client for good; its ids are never used again", "deleted")))
}

func clientCreate() *cobra.Command {
	var n admin.NewClient
	var fields, ids, hashes, scopes, redirects, origins []string
	var logo string
	var ttl life
	c := &cobra.Command{
		Use: "create", Short: "Create a client, and print its secrets this once",
		Example: "gatehouse client create --name acme --dialect oauth2 --scope read --scope write\n" +
			"gatehouse client create --name acme --dialect oauth2 --id live=acme-1 --secret-hash live=- < hash.txt",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			n.MaxTTL = ttl.seconds()
			n.Scopes = words(scopes)
			if n.Fields, err = pairs("field", "NAME=VALUE", fields); err != nil {
				return err
			}
			if n.ClientIDs, err = pairs("id", "ENVIRONMENT=ID", ids); err != nil {
				return err
			}
			if n.RedirectURIs, err = perEnvironment("redirect-uri", redirects); err != nil {
				return err
			}
			if n.Origins, err = perEnvironment("origin", origins); err != nil {
				return err
			}
			if n.SecretHashes, err = readHashes(cmd.InOrStdin(), hashes); err != nil {
				return err
			}
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			picture, err := readLogo(logo)
			if err != nil {
				return err
			}
			created, err := api.CreateClient(cmd.Context(), n, "")
			if err != nil {
				return err
			}
			var withoutLogo error
			if picture != nil {
				_, withoutLogo = api.SetClientLogo(cmd.Context(), created.ClientID, picture)
			}
			err = show(cmd, created, func(w io.Writer) {
				details(w, "client_id", created.ClientID, "name", created.Name, "dialect", created.Dialect)
				for _, s := range created.Secrets {
					fmt.Fprintln(w)
					printSecret(w, s)
				}
			})
			if withoutLogo != nil { // its secrets were shown all the same
				withoutLogo = fmt.Errorf("the client was made, but without its logo: set it by `gatehouse client update %s --logo`: %w", created.ClientID, withoutLogo)
			}
			return cmp.Or(err, withoutLogo)
		},
	}
	f := c.Flags()
	f.StringVar(&n.Name, "name", "", "what people call it")
	f.StringVar(&n.Dialect, "dialect", "", "the dialect it speaks; oauth2 is standard OAuth 2.0")
	f.StringArrayVar(&n.Environments, "environment", nil, "sandbox or live; none is both (repeatable)")
	f.StringArrayVar(&scopes, "scope", nil, "a scope that it may have (repeatable)")
	f.StringVar(&n.Domain, "domain", "", "its domain name, where its dialect knows clients by that")
	f.Var(&ttl, "max-ttl", "longest life that its tokens may be asked for, such as 48h")
	f.StringArrayVar(&fields, "field", nil, "a value for its dialect's {owner.*} and {extra.*}, as NAME=VALUE (repeatable)")
	f.BoolVar(&n.Refresh, "refresh", false, "standard OAuth 2.0: it may use refresh tokens")
	f.StringVar(&n.LimitRate, "limit-rate", "", "how often it may ask for tokens, such as 60/m")
	endUserFlags(f, &redirects, &origins, &logo, "")
	f.StringArrayVar(&ids, "id", nil, "keep the id that it has already, as ENVIRONMENT=ID (repeatable)")
	f.StringArrayVar(&hashes, "secret-hash", nil, "import the hash of its secret from stdin, as ENVIRONMENT=- (repeatable)")
	required(c, "name", "dialect")
	return c
}

// endUserFlags gives a command the flags for what the Connect page needs.
func endUserFlags(f *pflag.FlagSet, redirects, origins *[]string, logo *string, more string) {
	f.StringArrayVar(redirects, "redirect-uri", nil, "where its end users may be sent back, as ENVIRONMENT=URI"+more+" (repeatable)")
	f.StringArrayVar(origins, "origin", nil, "whose pages may open the Connect page, as ENVIRONMENT=ORIGIN"+more+" (repeatable)")
	f.StringVar(logo, "logo", "", "file with the picture that end users know it by, a PNG or JPEG of at most 32 KiB")
}

// readLogo returns what is in the file, or nil where none is named.
func readLogo(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	picture, err := os.ReadFile(file)
	if err != nil {
		return nil, wrongUsage("--logo: %s", err)
	}
	if len(picture) == 0 || len(picture) > 32<<10 {
		return nil, wrongUsage("--logo: %s has %d bytes: give a PNG or JPEG of at most 32 KiB", file, len(picture))
	}
	return picture, nil
}

// perEnvironment reads lists that are written ENVIRONMENT=VALUE; an empty value
// makes an empty list.
func perEnvironment(flag string, given []string) (map[string][]string, error) {
	var out map[string][]string
	for _, s := range given {
		env, value, ok := strings.Cut(s, "=")
		if !ok || env == "" {
			return nil, wrongUsage("--%s %q must be written ENVIRONMENT=VALUE, such as --%s live=https://app.example", flag, s, flag)
		}
		if out == nil {
			out = map[string][]string{}
		}
		list := out[env]
		if list == nil {
			list = []string{}
		}
		if value != "" {
			list = append(list, value)
		}
		out[env] = list
	}
	return out, nil
}

// words splits what a scope flag was given: scopes hold no spaces.
func words(given []string) (out []string) {
	for _, s := range given {
		out = append(out, strings.Fields(s)...)
	}
	return out
}

func pairs(flag, form string, given []string) (map[string]string, error) {
	if len(given) == 0 {
		return nil, nil
	}
	out := map[string]string{}
	for _, s := range given {
		name, value, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, wrongUsage("--%s %q must be written %s", flag, s, form)
		}
		if _, twice := out[name]; twice {
			return nil, wrongUsage("--%s names %s twice", flag, name)
		}
		out[name] = value
	}
	return out, nil
}

func readHashes(stdin io.Reader, given []string) (out []admin.ImportedHash, err error) {
	r := bufio.NewReader(stdin)
	for _, s := range given {
		env, from, ok := strings.Cut(s, "=")
		if !ok || env == "" || from != "-" {
			return nil, wrongUsage("--secret-hash must be written ENVIRONMENT=-, with the hash on stdin: everybody can read a command line")
		}
		hash, err := secretLine(r, "the hash of the "+env+" secret")
		if err != nil {
			return nil, err
		}
		out = append(out, admin.ImportedHash{Environment: env, Hash: admin.Credential{Text: hash}})
	}
	return out, nil
}

func clientList() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List clients", Args: cobra.NoArgs}
	page := pageFlags(c)
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		list, err := listed(*page, func(p admin.Page) (admin.List[admin.Client], error) { return api.Clients(cmd.Context(), p) })
		if err != nil {
			return err
		}
		return show(cmd, list, func(w io.Writer) {
			var rows [][]string
			for _, c := range list.Items {
				rows = append(rows, []string{c.ClientID, c.Name, c.Dialect, strings.Join(environmentsOf(c), ","), c.State, strings.Join(c.Scopes, " ")})
			}
			table(w, "CLIENT_ID NAME DIALECT ENVIRONMENTS STATE SCOPES", rows)
			more(w, cmd, list.Next)
		})
	}
	return c
}

func clientShow() *cobra.Command {
	return &cobra.Command{Use: "show CLIENT_ID", Short: "Show a client", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		c, err := api.Client(cmd.Context(), args[0])
		if err != nil {
			return err
		}
		return show(cmd, c, func(w io.Writer) { printClient(w, c) })
	}}
}

func clientUpdate() *cobra.Command {
	var name, domain, rate string
	var scopes, fields, redirects, origins []string
	var logo string
	var ttl life
	var refresh bool
	c := &cobra.Command{
		Use: "update CLIENT_ID", Short: "Change what the flags name of a client",
		Example: "gatehouse client update CLIENT_ID --max-ttl 48h --field owner.email=ops@acme.example",
		Args:    cobra.ExactArgs(1),
	}
	f := c.Flags()
	f.StringVar(&name, "name", "", "what people call it")
	f.StringVar(&domain, "domain", "", "its domain name")
	f.StringArrayVar(&scopes, "scope", nil, "the scopes that it may have from now on; \"\" is none (repeatable)")
	f.Var(&ttl, "max-ttl", "longest life that its tokens may be asked for; 0s is the dialect's")
	f.StringArrayVar(&fields, "field", nil, "a value to keep, as NAME=VALUE; NAME= removes it (repeatable)")
	f.BoolVar(&refresh, "refresh", false, "standard OAuth 2.0: it may use refresh tokens")
	f.StringVar(&rate, "limit-rate", "", "how often it may ask for tokens, such as 60/m; \"\" is the dialect's")
	endUserFlags(f, &redirects, &origins, &logo, "; these replace the environment's list, and ENVIRONMENT= empties it")
	c.RunE = func(cmd *cobra.Command, args []string) (err error) {
		change := admin.ClientChange{}
		changed := func(flag string) bool { return cmd.Flags().Changed(flag) }
		if changed("name") {
			change.Name = &name
		}
		if changed("domain") {
			change.Domain = &domain
		}
		if changed("scope") {
			to := append([]string{}, words(scopes)...)
			change.Scopes = &to
		}
		if changed("max-ttl") {
			seconds := ttl.seconds()
			change.MaxTTL = &seconds
		}
		if changed("refresh") {
			change.Refresh = &refresh
		}
		if changed("limit-rate") {
			change.LimitRate = &rate
		}
		if change.RedirectURIs, err = perEnvironment("redirect-uri", redirects); err != nil {
			return err
		}
		if change.Origins, err = perEnvironment("origin", origins); err != nil {
			return err
		}
		given, err := pairs("field", "NAME=VALUE", fields)
		if err != nil {
			return err
		}
		for name, value := range given {
			if change.Fields == nil {
				change.Fields = map[string]*string{}
			}
			change.Fields[name] = nil
			if value != "" {
				change.Fields[name] = &value
			}
		}
		if !slices.ContainsFunc([]string{"name", "domain", "scope", "max-ttl", "refresh", "limit-rate", "field", "redirect-uri", "origin", "logo"}, changed) {
			return wrongUsage("nothing to change: name it by a flag")
		}
		picture, err := readLogo(logo)
		if err != nil {
			return err
		}
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		client, err := api.UpdateClient(cmd.Context(), args[0], change)
		if err == nil && changed("logo") { // "" removes it
			client, err = api.SetClientLogo(cmd.Context(), args[0], picture)
		}
		if err != nil {
			return err
		}
		return show(cmd, client, func(w io.Writer) { printClient(w, client) })
	}
	return c
}

func clientState(use, short, done string) *cobra.Command {
	return &cobra.Command{Use: use + " CLIENT_ID", Short: short, Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		api, err := dial(cmd)
		if err != nil {
			return err
		}
		change := map[string]func() (admin.ClientStateChanged, error){
			"disable": func() (admin.ClientStateChanged, error) { return api.DisableClient(cmd.Context(), args[0]) },
			"enable":  func() (admin.ClientStateChanged, error) { return api.EnableClient(cmd.Context(), args[0]) },
			"delete":  func() (admin.ClientStateChanged, error) { return api.DeleteClient(cmd.Context(), args[0]) },
		}[use]
		c, err := change()
		if err != nil {
			return err
		}
		return show(cmd, c, func(w io.Writer) {
			fmt.Fprintf(w, "%s (%s) is %s", c.ClientID, c.Name, done)
			if use != "enable" {
				fmt.Fprintf(w, "; %s that it holds pass no more", count(c.Stopped, "live token"))
			}
			fmt.Fprintln(w)
		})
	}}
}

func printClient(w io.Writer, c admin.Client) {
	pairs := []string{"client_id", c.ClientID, "name", c.Name, "dialect", c.Dialect, "state", c.State}
	for _, env := range environmentsOf(c) {
		pairs = append(pairs, env, c.ClientIDs[env]+" ("+count(c.LiveSecrets[env], "live secret")+")")
	}
	ttl := ""
	if c.MaxTTL > 0 {
		ttl = (time.Duration(c.MaxTTL) * time.Second).String()
	}
	pairs = append(pairs, "scopes", strings.Join(c.Scopes, " "), "domain", c.Domain, "max_ttl", ttl, "limit_rate", c.LimitRate,
		"refresh", strconv.FormatBool(c.Refresh), "created_at", when(c.CreatedAt))
	for _, env := range environmentsOf(c) {
		for _, uri := range c.RedirectURIs[env] {
			pairs = append(pairs, "redirect_uri", env+" "+uri)
		}
		for _, origin := range c.Origins[env] {
			pairs = append(pairs, "origin", env+" "+origin)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Fields)) {
		pairs = append(pairs, name, c.Fields[name])
	}
	details(w, pairs...)
}

// environmentsOf lists a client's environments in the usual order.
func environmentsOf(c admin.Client) (out []string) {
	for _, env := range gatehouse.Environments {
		if _, ok := c.ClientIDs[string(env)]; ok {
			out = append(out, string(env))
		}
	}
	return out
}
