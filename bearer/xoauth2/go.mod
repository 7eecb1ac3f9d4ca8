// A module of its own, so that bearer's importers need no golang.org/x/oauth2.
module github.com/gatehouse-auth/gatehouse/bearer/xoauth2

go 1.26

require (
	github.com/gatehouse-auth/gatehouse/bearer v0.1.0
	golang.org/x/oauth2 v0.37.0
)

require (
	github.com/gatehouse-auth/gatehouse/dialect v0.1.0 // indirect
	github.com/gatehouse-auth/gatehouse/secret v0.1.0 // indirect
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/goccy/go-yaml v1.19.2 // indirect
)
