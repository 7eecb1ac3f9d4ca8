// Package postgres is the gatehouse.Store of many nodes on one PostgreSQL.
//
// Two kinds of change meet at one lock, the gate (a transaction-level advisory
// lock). Groups of grants hold it shared: they run side by side, on all nodes.
// Acts (whatever revokes, changes a client or a key, or leaves an audit event)
// hold it alone, so that a grant sees all of an act or comes before all of it.
// PostgreSQL hands a lock out in order of arrival: no stream of grants can keep
// a revocation waiting, as it could with locks on rows.
//
// A group of grants is one round trip: the server has received all of it before
// it takes the gate, so a node that stops in the middle holds up nobody. Grants
// that only the database can order among themselves (two nodes spend one code)
// meet at the unique key of the marks.
//
// An act holds the row of meta too, which numbers the events and the journal's
// entries. It lets go of it when it has committed; so both follow the order of
// commits on any server that locks rows, and no entry appears below one that a
// reader has seen. NOTIFY only says that reading may be worth while.
//
// The hash chains of the ledger are per writer, a series of commits of one
// process, so that no node waits for another. CheckAudit finds any change of a
// row, a mark, a link or an event, and any that was added or removed, short of
// one that also rewrites all later links of that chain and its head. Clients,
// connections and keys are state, not records: their changes are events.
package postgres
