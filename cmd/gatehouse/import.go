package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/admin"
	"github.com/gatehouse-auth/gatehouse/intake"
)

func importCommand() *cobra.Command {
	c := group("import", "Move clients and live tokens of another system in", importClients(), importTokens(), importStatus())
	c.Long = "Clients keep their ids and secrets, of which the hashes are imported, and live tokens keep\n" +
		"passing until they end. A file is CSV with a line of column names, or JSON. It is checked as\n" +
		"a whole first: while a line is refused nothing of it is imported. The same file imported\n" +
		"again changes nothing, so an import that broke off is repeated."
	return administers(c)
}

// An importRun is one file on its way into the server.
type importRun struct {
	File      string              `json:"file"`
	DryRun    bool                `json:"dry_run"`
	Items     int                 `json:"items"`
	New       int                 `json:"new"`
	Unchanged int                 `json:"unchanged"`
	Expired   int                 `json:"expired"`
	Refused   int                 `json:"refused"`
	Problems  []*intake.LineError `json:"problems"` // the first ones

	what     string // client, token
	progress *progressLine
}

// problemsShown bounds what a file that is wrong on every line prints.
const problemsShown = 100

func (r *importRun) problem(e *intake.LineError) {
	r.Refused++
	if len(r.Problems) < problemsShown {
		r.Problems = append(r.Problems, e)
	}
}

func (r *importRun) count(line int, result admin.ImportResult) {
	switch result.Status {
	case "new":
		r.New++
	case "unchanged":
		r.Unchanged++
	case "expired":
		r.Expired++
	default:
		r.problem(&intake.LineError{Line: line, Field: result.Field, Message: result.Message})
	}
}

// An importer sends items of one kind.
type importer[T any] struct {
	what string
	read func(io.Reader) iter.Seq2[T, error]
	line func(T) int
	same func(T) any // what two lines of one file must not share; nil is nothing
	send func(ctx context.Context, items []T, dry bool) (admin.Imported, error)
	size int // items of one call
}

// run checks the whole file, and then imports it.
func (i *importer[T]) run(cmd *cobra.Command, path string, dry bool) error {
	file, err := openImport(cmd.InOrStdin(), path)
	if err != nil {
		return err
	}
	defer file.Close()
	r := &importRun{File: path, DryRun: true, Problems: []*intake.LineError{}, what: i.what, progress: newProgressLine(cmd.ErrOrStderr())}
	if err := i.pass(cmd.Context(), file, r, "checked"); err != nil {
		return err
	}
	if !dry && r.Refused == 0 && r.New == 0 {
		r.DryRun = false // there is nothing left to do
	} else if !dry && r.Refused == 0 {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r = &importRun{File: path, Problems: []*intake.LineError{}, what: i.what, progress: r.progress}
		if err := i.pass(cmd.Context(), file, r, "imported"); err != nil {
			r.progress.end()
			return fmt.Errorf("%w\n%s of the file were done, %d of them new; import it again to go on", err, count(r.Items, i.what), r.New)
		}
	}
	r.progress.end()
	if err := show(cmd, r, r.print); err != nil {
		return err
	}
	if r.Refused > 0 {
		done := "nothing was imported: correct the lines and import the file again"
		if !r.DryRun {
			done = "the others were imported; correct the lines and import the file again"
		}
		return fmt.Errorf("%s refused; %s", count(r.Refused, "line"), done)
	}
	return nil
}

func (i *importer[T]) pass(ctx context.Context, file io.Reader, r *importRun, doing string) error {
	seen := map[any]int{}
	var batch []T
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		done, err := i.send(ctx, batch, r.DryRun)
		if err != nil {
			return err
		}
		if len(done.Items) != len(batch) {
			return errors.New("the server answered for another number of items than it was sent")
		}
		for n, result := range done.Items {
			r.count(i.line(batch[n]), result)
		}
		batch = batch[:0]
		r.progress.show("%s %s", doing, count(r.Items, r.what))
		return nil
	}
	for item, err := range i.read(file) {
		line := (*intake.LineError)(nil)
		if errors.As(err, &line) {
			r.Items++
			r.problem(line)
			continue
		} else if err != nil {
			return fmt.Errorf("%s: %w", r.File, err)
		}
		r.Items++
		if first, twice := seen[i.same(item)]; twice {
			r.problem(&intake.LineError{Line: i.line(item), Message: fmt.Sprintf("this %s stands in line %d already: leave one of them", i.what, first)})
			continue
		}
		seen[i.same(item)] = i.line(item)
		if batch = append(batch, item); len(batch) == i.size {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func (r *importRun) print(w io.Writer) {
	slices.SortStableFunc(r.Problems, func(a, b *intake.LineError) int { return a.Line - b.Line })
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s: %s\n", r.File, p)
	}
	if more := r.Refused - len(r.Problems); more > 0 {
		fmt.Fprintf(w, "… and %d more\n", more)
	}
	verb := "imported"
	if r.DryRun {
		verb = "to import"
	}
	fmt.Fprintf(w, "%s: %d %s, %d here already", count(r.Items, r.what), r.New, verb, r.Unchanged)
	if r.Expired > 0 {
		fmt.Fprintf(w, ", %d expired and left out", r.Expired)
	}
	if r.Refused > 0 {
		fmt.Fprintf(w, ", %d refused", r.Refused)
	}
	fmt.Fprintln(w)
	if !r.DryRun && r.New == 0 && r.Refused == 0 {
		fmt.Fprintln(w, "Nothing has changed.")
	}
}

// openImport opens a file that is read twice; stdin is kept in one that only
// this process has.
func openImport(stdin io.Reader, path string) (*os.File, error) {
	if path != "-" {
		return os.Open(path)
	}
	f, err := os.CreateTemp("", "gatehouse-import-*")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := io.Copy(f, stdin); err != nil {
		f.Close()
		return nil, fmt.Errorf("keeping what came on stdin: %w", err)
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

func importClients() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "clients FILE", Short: "Take over clients with their ids and the hashes of their secrets", Args: cobra.ExactArgs(1),
		Long: "CSV columns: name, dialect, id (or id_sandbox and id_live, or domain), environments, scopes,\n" +
			"domain, max_ttl, refresh, limit_rate, disabled, secret_hash_sandbox, secret_hash_live,\n" +
			"second_secret_hash_sandbox, second_secret_hash_live, and field.NAME for each field.\n" +
			"Hashes are Argon2id, bcrypt, PBKDF2 or SHA-256. - is stdin.",
		Example: "gatehouse import clients clients.csv --dry-run\ngatehouse import clients - < clients.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			i := importer[intake.Client]{
				what: "client", size: 50, read: intake.Clients, line: func(c intake.Client) int { return c.Line }, same: sameClient,
				send: func(ctx context.Context, items []intake.Client, dry bool) (admin.Imported, error) {
					r := admin.ImportClients{DryRun: dry}
					for _, item := range items {
						r.Items = append(r.Items, clientToImport(item))
					}
					return api.ImportClients(ctx, r)
				},
			}
			return i.run(cmd, args[0], dry)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	return c
}

func sameClient(c intake.Client) any {
	return [4]string{c.Dialect, c.IDs["sandbox"], c.IDs["live"], c.Domain}
}

func clientToImport(c intake.Client) admin.ImportClient {
	out := admin.ImportClient{Disabled: c.Disabled, NewClient: admin.NewClient{
		Name: c.Name, Dialect: c.Dialect, Environments: c.Environments, Scopes: c.Scopes, Domain: c.Domain, MaxTTL: int64(c.MaxTTL.Duration / time.Second),
		Fields: c.Fields, Refresh: c.Refresh, LimitRate: c.LimitRate, ClientIDs: c.IDs,
	}}
	for _, s := range c.Secrets {
		out.SecretHashes = append(out.SecretHashes, admin.ImportedHash{Environment: s.Environment, Hash: admin.Credential{Text: s.Hash.Text}})
	}
	return out
}

func importTokens() *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use: "tokens FILE", Short: "Take over live opaque access tokens by their SHA-256", Args: cobra.ExactArgs(1),
		Long: "CSV columns: sha256 (or token, of which only the SHA-256 is sent), client, environment,\n" +
			"expires (a time, or never), issued, scopes, user, name. Without a column scopes a token has\n" +
			"all that its client has. Tokens that have expired are left out. - is stdin.",
		Example: "gatehouse import tokens tokens.csv --dry-run\ngatehouse import tokens - < tokens.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			i := importer[intake.Token]{
				what: "token", size: admin.MaxImport, read: intake.Tokens, line: func(t intake.Token) int { return t.Line },
				same: func(t intake.Token) any { return t.SHA256 },
				send: func(ctx context.Context, items []intake.Token, dry bool) (admin.Imported, error) {
					r := admin.ImportTokens{DryRun: dry}
					for _, item := range items {
						r.Items = append(r.Items, tokenToImport(item))
					}
					return api.ImportTokens(ctx, r)
				},
			}
			return i.run(cmd, args[0], dry)
		},
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "say what would be done, and do nothing")
	return c
}

func tokenToImport(t intake.Token) admin.ImportToken {
	out := admin.ImportToken{
		SHA256: base64.StdEncoding.EncodeToString(t.SHA256[:]), ClientID: t.Client, Environment: t.Environment, Scopes: t.Scopes, User: t.User, Name: t.Name,
	}
	if !t.Issued.IsZero() {
		out.IssuedAt = &t.Issued.Time
	}
	if !t.Expires.Never {
		out.ExpiresAt = &t.Expires.Time
	}
	return out
}

func importStatus() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how many tokens of other systems still come, of whom, and when last", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			api, err := dial(cmd)
			if err != nil {
				return err
			}
			status, err := api.ImportStatus(cmd.Context())
			if err != nil {
				return err
			}
			return show(cmd, status, func(w io.Writer) { printImportStatus(w, status, time.Now()) })
		},
	}
}

func printImportStatus(w io.Writer, s admin.ImportStatus, now time.Time) {
	for _, o := range s.OldIssuers {
		state := fmt.Sprintf("accepted in %s until %s, %s", o.Environment, when(o.Until), count(o.Keys, "key"))
		if !o.Accepted {
			state = fmt.Sprintf("accepted no more, since %s", when(o.Until))
		}
		fmt.Fprintf(w, "old issuer %s: %s\n", o.Name, state)
		if o.Problem != "" {
			fmt.Fprintf(w, "  its keys can't be read: %s\n", o.Problem)
		}
	}
	if len(s.Tokens) > 0 {
		fmt.Fprintf(w, "%s with imported tokens\n", count(len(s.Tokens), "client"))
	}
	if len(s.Seen) == 0 {
		fmt.Fprintln(w, "No token of another system has come yet.")
		return
	}
	fmt.Fprintln(w)
	today, week := now.UTC().Format(time.DateOnly), now.UTC().AddDate(0, 0, -6).Format(time.DateOnly)
	var rows [][]string
	for _, one := range s.Seen {
		var lately int64
		for day, n := range one.Days {
			if day >= week {
				lately += n
			}
		}
		rows = append(rows, []string{one.Source, one.ClientID, one.Environment, when(one.LastSeenAt), strconv.FormatInt(one.Days[today], 10), strconv.FormatInt(lately, 10), strconv.FormatInt(one.Total, 10)})
	}
	table(w, "SOURCE CLIENT_ID ENVIRONMENT LAST_SEEN TODAY 7_DAYS TOTAL", rows)
}

// A progressLine is a line on stderr that is written over.
type progressLine struct {
	w    io.Writer
	last time.Time
	any  bool
}

// newProgressLine shows nothing where stderr is no terminal.
func newProgressLine(w io.Writer) *progressLine {
	f, ok := w.(*os.File)
	if info, err := os.Stderr.Stat(); !ok || f != os.Stderr || err != nil || info.Mode()&os.ModeCharDevice == 0 {
		w = io.Discard
	}
	return &progressLine{w: w}
}

func (p *progressLine) show(format string, args ...any) {
	const every = 200 * time.Millisecond
	if now := time.Now(); now.Sub(p.last) >= every {
		p.last, p.any = now, true
		fmt.Fprintf(p.w, "\r%s\x1b[K", fmt.Sprintf(format, args...))
	}
}

func (p *progressLine) end() {
	if p.any {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
