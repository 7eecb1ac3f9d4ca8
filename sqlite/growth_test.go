package sqlite

import (
	"os"
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/storetest"
)

func opened(b testing.TB) gatehouse.Store { return open(b, b.TempDir(), Options{}) }

// GATEHOUSE_SOAK=1 makes the ledgers of these large: 10 million rows, and a
// million tokens that expire.
func BenchmarkGrowth(b *testing.B) { storetest.BenchmarkGrowth(b, opened, large(100_000, 10_000_000)) }
func BenchmarkExpiry(b *testing.B) { storetest.BenchmarkExpiry(b, opened, large(50_000, 1_000_000)) }

func large(short, long int) int {
	if os.Getenv("GATEHOUSE_SOAK") != "" {
		return long
	}
	return short
}
