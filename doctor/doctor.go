// Package doctor looks at a deployment and says what is wrong with it, why that
// matters and how to mend it. It is told facts, and reads files; it asks no
// server and no database itself.
package doctor

import (
	"cmp"
	"slices"
	"time"
)

// A Severity says how bad a finding is.
type Severity string

// The severities. An error loses tokens, lets through what shouldn't pass, or
// gives a secret away; a warning does so one day, or makes it easier.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// A Finding is one thing that is wrong.
type Finding struct {
	Check    string   `json:"check"` // a name that doesn't change, such as tls-expired
	Severity Severity `json:"severity" enum:"error,warning"`
	What     string   `json:"what"`
	Why      string   `json:"why"`
	Mend     string   `json:"mend"`
}

// A Deployment is what is known of one. What is not known is zero, and the
// checks that need it are left out.
type Deployment struct {
	Now      time.Time
	Settings *Settings
	Files    *Files
	Keys     []Key
	Journal  *Journal
	Database *Database
	Host     *Host
	Nodes    []Node // on one database, this one first
}

// Examine looks at everything that is known, errors first.
func Examine(d *Deployment) []Finding {
	var out []Finding
	for _, look := range []func(*Deployment) []Finding{
		examineSettings, examineCertificate, examineFiles, examineKeys, examineJournal, examineDatabase, examineHost, examineNodes,
	} {
		out = append(out, look(d)...)
	}
	Sort(out)
	return out
}

// Sort puts errors first, and else keeps the order of the checks' names.
func Sort(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Check, b.Check), cmp.Compare(a.What, b.What))
	})
}

// Failed reports whether a finding is an error.
func Failed(list []Finding) bool {
	return slices.ContainsFunc(list, func(f Finding) bool { return f.Severity == Error })
}
