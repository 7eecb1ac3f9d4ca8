// Package node is one running Gatehouse: settings become a store, an engine and
// listeners, which start, reload, drain and stop together.
package node
