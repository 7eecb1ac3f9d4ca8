// Package sqlite keeps clients, keys, the ledger, the journal and the audit
// events in one SQLite database in one directory, which belongs to one process.
//
// One goroutine writes. It takes all writes that wait, runs them in one
// transaction, commits once and answers each: a burst shares one fsync, and
// whoever is alone waits for nobody. A write checks before it changes anything,
// so that one that is refused costs the others nothing; and since nobody else
// writes, what it checked holds until the commit.
//
// The ledger is a series of partitions, by the hour in which tokens expire,
// each with tables of its own, so that expired tokens leave by DROP TABLE.
package sqlite
