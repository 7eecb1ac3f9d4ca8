// Package abuse holds the tests that trouble a real server while honest
// callers use it: connections that are slow on purpose, floods of streams that
// are reset, tokens that name keys that never were.
package abuse
