// Package nodes runs real nodes, several on one real PostgreSQL or one on SQLite,
// and breaks them, their disk, and what is between them and their database.
package nodes
