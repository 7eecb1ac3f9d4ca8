package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/dialect"
	"github.com/gatehouse-auth/gatehouse/node"
)

func dialectCommand() *cobra.Command {
	return group("dialect", "Read, check and document dialects, without a server",
		dialectList(), dialectShow(), dialectCheck(), dialectDocs())
}

func dialectList() *cobra.Command {
	var files []string
	c := &cobra.Command{
		Use: "list", Short: "List the built-in dialects, and those of given files", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := node.LoadDialects(append(dialect.BuiltinNames(), files...))
			if err != nil {
				return err
			}
			list := admin.List[admin.Dialect]{}
			for _, d := range all {
				list.Items = append(list.Items, admin.DescribeDialect(d))
			}
			return show(cmd, list, func(w io.Writer) {
				var rows [][]string
				for _, d := range list.Items {
					rows = append(rows, []string{d.Name, d.Title, strings.Join(d.Operations, " ")})
				}
				table(w, "NAME TITLE OPERATIONS", rows)
			})
		},
	}
	c.Flags().StringArrayVar(&files, "dialect", nil, "a dialect file to list, too (repeatable)")
	return c
}

func dialectShow() *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Print a dialect's file, comments and all", Args: cobra.ExactArgs(1), ValidArgsFunction: completeDialects,
		Example: "gatehouse dialect show " + dialect.BuiltinNames()[0] + " > mine.yaml",
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := node.LoadDialect(args[0])
			if err != nil {
				return err
			}
			return show(cmd, admin.DialectSource{Dialect: admin.DescribeDialect(d), Source: string(d.Source)}, func(w io.Writer) {
				fmt.Fprint(w, string(d.Source))
			})
		},
	}
}

func dialectDocs() *cobra.Command {
	var openAPI bool
	var server string
	c := &cobra.Command{
		Use: "docs NAME", Short: "Print a dialect's reference page, or its OpenAPI description", Args: cobra.ExactArgs(1), ValidArgsFunction: completeDialects,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := node.LoadDialect(args[0])
			if err != nil {
				return err
			}
			if openAPI {
				b, err := d.OpenAPI(server)
				if err == nil {
					_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(string(b)))
				}
				return err
			}
			var page strings.Builder
			if err := d.Markdown(&page); err != nil {
				return err
			}
			return show(cmd, admin.DialectDocs{Name: d.Name, Markdown: page.String()}, func(w io.Writer) { fmt.Fprint(w, page.String()) })
		},
	}
	c.Flags().BoolVar(&openAPI, "openapi", false, "print OpenAPI 3.1 (JSON)")
	c.Flags().StringVar(&server, "server", "https://api.example.com", "with --openapi: base URL of the server")
	return c
}

func completeDialects(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return dialect.BuiltinNames(), cobra.ShellCompDirectiveDefault
}
