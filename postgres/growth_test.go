package postgres

import (
	"os"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/postgres/postgrestest"
	"github.com/gatehouse-auth/gatehouse/storetest"
)

// GATEHOUSE_SOAK=1 makes the ledgers of these large: 10 million rows, and a
// million tokens that expire.
func BenchmarkGrowth(b *testing.B) {
	storetest.BenchmarkGrowth(b, stores(b), large(100_000, 10_000_000))
}
func BenchmarkExpiry(b *testing.B) { storetest.BenchmarkExpiry(b, stores(b), large(50_000, 1_000_000)) }

// stores opens stores of one server, each in a database of its own.
func stores(b testing.TB) func(testing.TB) gatehouse.Store {
	server := postgrestest.Start(b)
	return func(b testing.TB) gatehouse.Store { return open(b, server.URL(b), Options{}) }
}

func large(short, long int) int {
	if os.Getenv("GATEHOUSE_SOAK") != "" {
		return long
	}
	return short
}
