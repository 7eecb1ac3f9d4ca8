// Package sharedlimit counts limits for all nodes together, in one Redis or
// Valkey. It holds no promise up: what it counts is a courtesy to the nodes, so
// that whoever asks waits for an answer no longer than a moment, and counts for
// himself where there is none.
package sharedlimit
