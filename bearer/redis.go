package bearer

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"
)

// A RedisClient is what a [Redis] cache asks of a client for Redis or Valkey, so
// that a program brings the one that it has. Each method is one command; a few
// lines make it of any client: examples/rediscache has them for go-redis.
type RedisClient interface {
	// Get is GET key; nil where there is no such key.
	Get(ctx context.Context, key string) ([]byte, error)
	// Set is SET key value PX life, without PX for a life of 0, and with NX
	// where onlyNew is true. It reports whether the key was set.
	Set(ctx context.Context, key string, value []byte, life time.Duration, onlyNew bool) (bool, error)
	// Eval is EVAL of a script that gives a number. All keys have one hash tag,
	// so that they are on one node of a cluster.
	Eval(ctx context.Context, script string, keys []string, args ...string) (int64, error)
}

// Redis is a [Cache] that processes on many machines share.
type Redis struct {
	client RedisClient
	prefix string
	lease  time.Duration
}

// NewRedis makes a cache whose keys begin with prefix, such as "myapp:tokens:".
func NewRedis(client RedisClient, prefix string) *Redis {
	return &Redis{client, prefix, lockLease}
}

const (
	// lockLease is how long the lock of a process that died holds up others.
	lockLease = 5 * time.Second
	// redisPatience bounds each command: a token endpoint is not kept waiting
	// by a cache.
	redisPatience = 2 * time.Second
	redisPoll     = 25 * time.Millisecond
	keepDamaged   = 24 * time.Hour
)

func (r *Redis) key(name, kind string) string { return r.prefix + "{" + name + "}:" + kind }

// Load is part of [Cache].
func (r *Redis) Load(ctx context.Context, name string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	return r.client.Get(ctx, r.key(name, "token"))
}

// Store is part of [Cache].
func (r *Redis) Store(ctx context.Context, name string, data []byte, end time.Time) error {
	var life time.Duration
	if !end.IsZero() {
		if life = time.Until(end).Truncate(time.Millisecond); life <= 0 {
			return nil // it is of no use any more
		}
	}
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	_, err := r.client.Set(ctx, r.key(name, "token"), data, life, false)
	return err
}

// What a lock's holder may do to it, and nobody else.
const (
	extendScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0`
	unlockScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0`
)

// Lock is part of [Cache]. The lock is a key with a short life, which its holder
// extends, so that it ends soon after a process that dies.
func (r *Redis) Lock(ctx context.Context, name string) (unlock func(), err error) {
	key, holder := r.key(name, "lock"), rand.Text()
	for {
		limited, cancel := context.WithTimeout(ctx, redisPatience)
		set, err := r.client.Set(limited, key, []byte(holder), r.lease, true)
		cancel()
		if err != nil {
			return nil, err
		}
		if set {
			return r.hold(ctx, key, holder), nil
		}
		if err := sleep(ctx, jitter(redisPoll)); err != nil {
			return nil, err
		}
	}
}

// hold extends a lock until it is given back.
func (r *Redis) hold(ctx context.Context, key, holder string) (unlock func()) {
	ctx = context.WithoutCancel(ctx) // a visit that is given up gives its lock back, too
	stop, done := make(chan struct{}), make(chan struct{})
	eval := func(script string, args ...string) (int64, error) {
		ctx, cancel := context.WithTimeout(ctx, redisPatience)
		defer cancel()
		return r.client.Eval(ctx, script, []string{key}, args...)
	}
	go func() {
		defer close(done)
		tick := time.NewTicker(r.lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if n, err := eval(extendScript, holder, inMilliseconds(r.lease)); err == nil && n == 0 {
				return // it was lost; the next holder may be at work
			}
		}
	}()
	return func() {
		close(stop)
		<-done
		_, _ = eval(unlockScript, holder) // else it ends by itself
	}
}

// setAsideScript keeps what can't be read for a day, for whoever wants to know.
const setAsideScript = `if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
return redis.call('PEXPIRE', KEYS[2], ARGV[1])`

// SetAside is part of [Cache].
func (r *Redis) SetAside(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, redisPatience)
	defer cancel()
	_, err := r.client.Eval(ctx, setAsideScript, []string{r.key(name, "token"), r.key(name, "damaged")}, inMilliseconds(keepDamaged))
	return err
}

func inMilliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
