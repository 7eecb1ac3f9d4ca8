package sqlite

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) gatehouse.Store { return open(t, t.TempDir(), Options{}) })
}

// Small partitions, so that every test crosses their borders.
func TestStoreOfSmallPartitions(t *testing.T) {
	storetest.Run(t, func(t *testing.T) gatehouse.Store { return open(t, t.TempDir(), Options{partitionRows: 50}) })
}

func TestReopen(t *testing.T) {
	for name, opt := range map[string]Options{"whole": {}, "small partitions": {partitionRows: 50}} {
		t.Run(name, func(t *testing.T) {
			storetest.RunReopen(t, func(t *testing.T) (gatehouse.Store, func() gatehouse.Store) {
				dir := t.TempDir()
				s := open(t, dir, opt)
				return s, func() gatehouse.Store {
					if err := s.Close(); err != nil {
						t.Fatal(err)
					}
					return open(t, dir, opt)
				}
			})
		})
	}
}
