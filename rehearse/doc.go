// Package rehearse grades a program that calls an API: it stands before a test
// server, makes it misbehave on purpose, act by act, and judges from what it
// sees whether the program keeps its token, renews it in time, and stays calm.
package rehearse
