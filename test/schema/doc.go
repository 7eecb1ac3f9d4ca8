// Package schema holds the published schema of dialect files against a
// validator of JSON Schema and package dialect's own test files. It is apart
// from package dialect because what that one's tests use, its importers get.
package schema
