// Package clients holds no code of its own: its tests run the field's client
// libraries, unchanged, against the real binary. Each has a program beside this
// file, npm's in NAME.test.mjs; x/oauth2 is tested in Go.
package clients
