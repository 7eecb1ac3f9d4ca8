package gatehouse_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse"
)

// BenchmarkIssue is a durable issuance by 32 callers at once, without HTTP.
func BenchmarkIssue(b *testing.B) {
	w := newWorld(b, func(c *gatehouse.Config) { c.Now = time.Now })
	p := w.partner(b, gatehouse.OAuth2)
	proof := p.proof(gatehouse.Live)
	b.ReportAllocs()
	b.SetParallelism(16)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := w.Issue(ctx, caller, gatehouse.IssueRequest{Proof: proof}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
