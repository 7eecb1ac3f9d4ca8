package bearer_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/bearer"
)

// memoryRedis does what the three commands do. examples/rediscache asks a real
// one.
type memoryRedis struct {
	mu   sync.Mutex
	keys map[string]memoryKey
	hang bool
}

type memoryKey struct {
	value string
	end   time.Time // zero: never
}

// get is for callers that hold mu.
func (m *memoryRedis) get(key string) (string, bool) {
	k, ok := m.keys[key]
	if ok && !k.end.IsZero() && !time.Now().Before(k.end) {
		delete(m.keys, key)
		ok = false
	}
	return k.value, ok
}

func (m *memoryRedis) put(key, value string, life time.Duration) {
	k := memoryKey{value: value}
	if life > 0 {
		k.end = time.Now().Add(life)
	}
	m.keys[key] = k
}

func (m *memoryRedis) wait(ctx context.Context) error {
	m.mu.Lock()
	hang := m.hang
	m.mu.Unlock()
	if hang {
		<-ctx.Done()
	}
	return ctx.Err()
}

func (m *memoryRedis) Get(ctx context.Context, key string) ([]byte, error) {
	if err := m.wait(ctx); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if v, ok := m.get(key); ok {
		return []byte(v), nil
	}
	return nil, nil
}

func (m *memoryRedis) Set(ctx context.Context, key string, value []byte, life time.Duration, onlyNew bool) (bool, error) {
	if err := m.wait(ctx); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.get(key); ok && onlyNew {
		return false, nil
	}
	m.put(key, string(value), life)
	return true, nil
}

func (m *memoryRedis) Eval(ctx context.Context, script string, keys []string, args ...string) (int64, error) {
	if err := m.wait(ctx); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.get(keys[0])
	switch {
	case !ok:
		return 0, nil
	case strings.Contains(script, "RENAME"):
		delete(m.keys, keys[0])
		m.put(keys[1], value, millis(args[0]))
		return 1, nil
	case value != args[0]:
		return 0, nil
	case strings.Contains(script, "DEL"):
		delete(m.keys, keys[0])
		return 1, nil
	}
	m.put(keys[0], value, millis(args[1]))
	return 1, nil
}

func millis(s string) time.Duration {
	n, _ := strconv.Atoi(s)
	return time.Duration(n) * time.Millisecond
}

func set(t *testing.T, m *memoryRedis, key, value string, life time.Duration) {
	t.Helper()
	if _, err := m.Set(t.Context(), key, []byte(value), life, false); err != nil {
		t.Fatal(err)
	}
}

// A lock is its holder's as long as that lives and no longer.
func TestRedisLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memoryRedis{keys: map[string]memoryKey{}}
		one, two := bearer.NewRedis(m, ""), bearer.NewRedis(m, "")
		unlock, err := one.Lock(t.Context(), "n")
		if err != nil {
			t.Fatal(err)
		}
		minute, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := two.Lock(minute, "n"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a lock that is held was had: %v", err)
		}
		unlock()
		began := time.Now()
		if unlock, err = two.Lock(t.Context(), "n"); err != nil || time.Since(began) > 0 {
			t.Errorf("after its return it was had in %v: %v", time.Since(began), err)
		}
		unlock()
		set(t, m, "{n}:lock", "of a process that died", 5*time.Second)
		if unlock, err = one.Lock(t.Context(), "n"); err != nil || time.Since(began) > 6*time.Second {
			t.Errorf("after a death it was had in %v: %v", time.Since(began), err)
		}
		set(t, m, "{n}:lock", "another's", time.Hour) // lost, as by a Redis that lost its memory
		time.Sleep(time.Minute)
		unlock()
		if v, err := m.Get(t.Context(), "{n}:lock"); err != nil || string(v) != "another's" {
			t.Errorf("the other's lock is now %q, %v", v, err)
		}
		if len(m.keys) != 1 {
			t.Errorf("%v are left", m.keys)
		}
	})
}

// A Redis that doesn't answer delays a token by one command's patience.
func TestRedisHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake("dogpay")
		c, _ := inBubble(t, "dogpay", f)
		c.Cache, c.CacheKey = bearer.NewRedis(&memoryRedis{hang: true}, ""), cacheKey
		s := newSource(t, c)
		defer s.Close()
		began := time.Now()
		token(t, s)
		if took := time.Since(began); took > 3*time.Second || f.count("") != 1 {
			t.Errorf("a token after %v and %d visits", took, f.count(""))
		}
	})
}
