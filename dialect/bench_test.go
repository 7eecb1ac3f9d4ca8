package dialect

import "testing"

func BenchmarkReadRequest(b *testing.B) {
	for _, d := range shipped(b) {
		for _, name := range []OperationName{Issue, Exchange} {
			o := d.Operation(name)
			if o == nil {
				continue
			}
			r, err := o.WriteRequest("", d.exampleValues(o.request))
			if err != nil {
				b.Fatal(err)
			}
			b.Run(d.Name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := d.ReadRequest(r); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkWriteResponse(b *testing.B) {
	for _, d := range shipped(b) {
		for _, name := range []OperationName{Issue, Exchange} {
			o := d.Operation(name)
			if o == nil {
				continue
			}
			v := d.exampleValues(o.response)
			b.Run(d.Name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := o.WriteResponse(v); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
