// Whoever imports this module, or bearer, has what is required here on its own
// build list, so what only tests use is not: they find it by go.work.
module github.com/gatehouse-auth/gatehouse/dialect

go 1.26

require (
	github.com/gatehouse-auth/gatehouse/secret v0.1.0
	github.com/go-json-experiment/json v1.27.2
	github.com/goccy/go-yaml v1.19.2
)
