// Package restore kills real servers, brings back older copies of their ledgers
// and looks for anything that was revoked and passes again: on SQLite with
// `gatehouse backup`, on PostgreSQL with pg_dump and pg_restore.
package restore
