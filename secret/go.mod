module github.com/gatehouse-auth/gatehouse/secret

go 1.26
