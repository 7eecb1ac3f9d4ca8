package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/node"
)

func restoreCommand() *cobra.Command {
	var config, dir, database string
	job := node.RestoreJob{}
	c := &cobra.Command{
		Use: "restore [FILE]", Short: "Bring a backup back, and end what may have been revoked since", Args: cobra.MaximumNArgs(1),
		Long: "Makes a ledger of the FILE that `backup` wrote, in a directory that has none. What happened after\n" +
			"the backup is lost, so every token that was issued until now ends; with the journal that\n" +
			"`backup --journal` kept, opaque access tokens that were not revoked stay. Signing keys are\n" +
			"replaced in both cases. The key-encryption key must be in the directory already, or in\n" +
			"GATEHOUSE_KEY_ENCRYPTION_KEY. A backup that is damaged or was cut off is refused, and nothing changes.\n\n" +
			"A ledger in PostgreSQL is brought back by pg_restore first, into a new database, with all nodes\n" +
			"stopped; FILE is then the mark that `backup` wrote before the dump, if there is one.",
		Example: "gatehouse restore /backup/monday.tar --data ./gatehouse-data\n\n" +
			"pg_restore --dbname gatehouse2 /backup/monday.dump\ngatehouse restore /backup/monday.mark --database postgres://localhost/gatehouse2",
	}
	f := c.Flags()
	f.StringVar(&config, "config", "", "settings file of the server, for database and key_encryption_key")
	f.StringVar(&dir, "data", "", "directory to restore into")
	f.StringVar(&database, "database", "", "sqlite:DIR or postgres://…")
	f.StringVar(&job.Journal, "journal", "", "journal that `backup --journal` has kept since before the backup")
	f.BoolVar(&job.DisableClients, "disable-clients", false, "bring every client back disabled")
	f.BoolVar(&job.Complete, "complete", false, "PostgreSQL: the database is the newest state, and nothing was lost; ends nothing")
	c.MarkFlagsMutuallyExclusive("data", "database")
	c.MarkFlagsMutuallyExclusive("complete", "journal")
	c.MarkFlagsMutuallyExclusive("complete", "disable-clients")
	c.RunE = func(cmd *cobra.Command, args []string) (err error) {
		flags := map[string]any{}
		switch {
		case dir != "":
			flags["database"] = "sqlite:" + dir
		case database != "":
			flags["database"] = database
		}
		if job.Settings, err = node.LoadSettings(config, flags, os.Environ()); err != nil {
			return err
		}
		if len(args) == 1 {
			job.Backup = args[0]
		}
		if job.Postgres.IsZero() && (job.Backup == "" || job.Complete) {
			return wrongUsage("name the backup to restore; only a database that pg_restore has filled needs none")
		}
		log, flush := newLogger(job.LogLevel)
		defer flush()
		job.Log, job.Step = log, stepper(cmd)
		ctx, stop := untilAsked(cmd.Context())
		defer stop()
		done, err := job.Run(ctx)
		if err != nil {
			return err
		}
		said := newRestored(done, &job)
		return show(cmd, said, said.print)
	}
	return c
}

// stepper tells people, and no program, what takes its time.
func stepper(cmd *cobra.Command) func(string) {
	if asJSON, _ := cmd.Flags().GetBool("json"); asJSON {
		return func(string) {}
	}
	return func(s string) { fmt.Fprintln(cmd.ErrOrStderr(), s+" …") }
}

// restored is what `restore --json` prints.
type restored struct {
	Ledger   string           `json:"ledger"`
	TakenAt  *time.Time       `json:"taken_at"` // null where no file said so
	Complete bool             `json:"complete"`
	Epoch    *time.Time       `json:"epoch"` // null where none was written
	Seq      int64            `json:"journal_seq"`
	Journal  *restoredJournal `json:"journal"` // null where none was given
	Ended    int              `json:"ended"`
	ByClient []restoredClient `json:"clients"`
	Keys     int              `json:"signing_keys_ended"`
	Enabled  int              `json:"clients_enabled"`
	Secrets  int              `json:"secrets_live"`
	Unknown  []string         `json:"not_known"`
}

type restoredJournal struct {
	Seq     int64     `json:"seq"`
	HeardAt time.Time `json:"heard_at"`
	Revoked int       `json:"revoked"`
	Clients int       `json:"clients_changed"`
}

// restoredClient is a client that lost tokens.
type restoredClient struct {
	ClientID string `json:"client_id"`
	Name     string `json:"name"`
	Ended    int    `json:"ended"`
}

func newRestored(done *node.RestoreDone, job *node.RestoreJob) *restored {
	said := &restored{Ledger: done.Ledger, Complete: job.Complete, ByClient: []restoredClient{}, Unknown: []string{}}
	since := "the copy"
	if m := done.Manifest; m != nil {
		said.TakenAt, since = &m.TakenAt, when(m.TakenAt)
	}
	copyTime := since
	r := done.Restored
	if r == nil {
		return said
	}
	said.Seq, said.Ended, said.Keys, said.Enabled, said.Secrets = r.JournalSeq, r.Tokens(), r.Keys, r.Clients, r.Secrets
	if !r.Epoch.IsZero() {
		said.Epoch = &r.Epoch
	}
	for id, n := range r.Ended {
		c := restoredClient{ClientID: string(id), Ended: n}
		if known := done.Clients[id]; known != nil {
			c.Name = known.Name
		}
		said.ByClient = append(said.ByClient, c)
	}
	slices.SortFunc(said.ByClient, func(a, b restoredClient) int { return cmp.Compare(a.ClientID, b.ClientID) })
	if job.Journal != "" {
		said.Journal = &restoredJournal{r.JournalEnds, done.HeardAt, r.Revoked, r.Changed}
		since = when(done.HeardAt) + ", when the journal was read last,"
	}
	said.Unknown = notKnown(r, job, since, copyTime)
	return said
}

// notKnown says what a restore could not bring back, nor rule out.
func notKnown(r *gatehouse.Restored, job *node.RestoreJob, since, copyTime string) []string {
	said := []string{
		fmt.Sprintf("%s may have been disabled, deleted or changed after %s", count(r.Clients, "enabled client"), since),
		fmt.Sprintf("%s may have been retired after %s, even as compromised", count(r.Secrets, "live secret"), since),
		fmt.Sprintf("clients, secrets and audit events of after %s are gone", since),
		fmt.Sprintf("end users, operators and webhooks are as at %s: passwords changed and users disabled since then are not", copyTime),
	}
	if job.DisableClients {
		said[0] = "all clients are disabled: enable those that you know to be in use, and retire their secrets where in doubt"
		said = slices.Delete(said, 1, 2)
	}
	if job.Journal != "" && r.Foreign > 0 {
		said = append(said, fmt.Sprintf("which %s of another system the journal revokes: so an epoch ended everything all the same", count(r.Foreign, "token")))
	}
	if job.Journal != "" {
		said = append(said, fmt.Sprintf("a token that was revoked after %s is not ended", since),
			"connections and uses of secrets of after the copy are not in the journal")
	}
	return said
}

func (r *restored) print(w io.Writer) {
	if r.Complete {
		fmt.Fprintf(w, "The ledger in %s is whole, and is served from there now. Nothing was ended.\n", r.Ledger)
		return
	}
	fmt.Fprintf(w, "The ledger in %s can be served.\n\n", r.Ledger)
	fmt.Fprintf(w, "Ended: %s, and all %s.\n", count(r.Ended, "live token"), count(r.Keys, "signing key"))
	if r.Epoch != nil {
		fmt.Fprintf(w, "Whatever was issued up to %s is refused.\n", when(*r.Epoch))
	}
	if len(r.ByClient) > 0 {
		var rows [][]string
		for _, c := range r.ByClient {
			rows = append(rows, []string{c.ClientID, c.Name, fmt.Sprint(c.Ended)})
		}
		table(w, "CLIENT_ID NAME ENDED", rows)
	}
	fmt.Fprintf(w, "\nWhat can't be known:\n  %s\n", strings.Join(r.Unknown, "\n  "))
}
