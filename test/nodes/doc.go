// Package nodes runs several real nodes on one real PostgreSQL, and breaks
// them.
package nodes
