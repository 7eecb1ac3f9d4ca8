package sharedlimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/gatehouse-auth/gatehouse"
	"github.com/gatehouse-auth/gatehouse/secret"
)

const (
	// answerWithin is how long a caller waits for Redis at most.
	answerWithin = 50 * time.Millisecond
	// connectWithin bounds a new connection, which callers don't wait for.
	connectWithin = time.Second
	// A lost Redis is tried again after firstTry, and then less and less often.
	// One that is lost again soon after starts from where it was.
	firstTry  = 100 * time.Millisecond
	rarestTry = 2 * time.Second
	steady    = 10 * time.Second
)

var errSlow = fmt.Errorf("no answer within %s", answerWithin)

// ErrLost says that Redis isn't asked now, because it did not answer lately.
var ErrLost = errors.New("redis does not answer")

// A Counter counts in a Redis. Once Redis has failed to answer it is not asked
// any more, except in the background, until it answers again. It is safe for
// concurrent use. Close it.
type Counter struct {
	client  *redis.Client
	log     *slog.Logger
	within  time.Duration // how long a caller waits at most
	lost    atomic.Bool
	losses  atomic.Int64
	trouble chan error // why Redis was lost just now
	stop    context.CancelFunc
	helpers sync.WaitGroup
}

var _ gatehouse.SharedLimits = (*Counter)(nil)

// Check says whether url names a Redis. No error shows it: it may hold a password.
func Check(url secret.Text) error {
	_, err := options(url)
	return err
}

func options(url secret.Text) (*redis.Options, error) {
	o, err := redis.ParseURL(url.Reveal())
	if err != nil {
		return nil, errors.New("redis: it must be a URL such as redis://user:password@redis.example:6379/0, rediss://… for TLS, or unix:///run/redis.sock")
	}
	o.ClientName = "gatehouse"
	o.ContextTimeoutEnabled = true
	o.MaxRetries = -1
	o.DialTimeout, o.DialerRetries = connectWithin, 1
	o.MinIdleConns = 2
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return o, nil
}

// silent: what the client library would print tells nothing that the Counter
// doesn't log.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

var silence = sync.OnceFunc(func() { redis.SetLogger(silent{}) })

// Open returns a Counter on the Redis that url names. A Redis that can't be
// reached is no error, now as later: the log says so.
func Open(ctx context.Context, url secret.Text, log *slog.Logger) (*Counter, error) {
	o, err := options(url)
	if err != nil {
		return nil, err
	}
	silence()
	c := &Counter{client: redis.NewClient(o), log: log, within: answerWithin, trouble: make(chan error, 1)}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop = stop
	if err := c.try(ctx); err != nil {
		c.lose(err)
	}
	c.helpers.Go(func() { c.watch(running) })
	return c, nil
}

// Close ends the Counter.
func (c *Counter) Close() error {
	c.stop()
	c.helpers.Wait()
	return c.client.Close()
}

// Lost reports whether Redis isn't asked now.
func (c *Counter) Lost() bool { return c.lost.Load() }

// Losses counts how often Redis was lost.
func (c *Counter) Losses() int64 { return c.losses.Load() }

// lose stops asking Redis.
func (c *Counter) lose(err error) {
	if c.lost.Swap(true) {
		return
	}
	c.losses.Add(1)
	select {
	case c.trouble <- err:
	default:
	}
}

// watch finds out when a lost Redis is back. The log hears of what lasts longer
// than one slow answer.
func (c *Counter) watch(ctx context.Context) {
	pause, back := firstTry, time.Time{}
	for {
		var why error
		select {
		case <-ctx.Done():
			return
		case why = <-c.trouble:
		}
		if time.Since(back) > steady {
			pause = firstTry
		}
		told := false
		for c.Lost() {
			select {
			case <-ctx.Done():
				return
			case <-time.After(pause):
			}
			pause = min(2*pause, rarestTry)
			err := c.try(ctx)
			switch {
			case err == nil:
				back = time.Now()
				c.lost.Store(false)
				if told {
					c.log.Info("redis answers: limits are counted for all nodes together again")
				}
			case !told && ctx.Err() == nil:
				told = true
				c.log.Warn("redis does not answer: this node counts its share of the limits for itself until it does", "error", why, "again", err)
			}
		}
	}
}

// try does what counting does, with time to connect. An answer that is too slow
// for callers is none.
func (c *Counter) try(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*connectWithin)
	defer cancel()
	if err := c.client.Ping(ctx).Err(); err != nil { // connects
		return err
	}
	began := time.Now()
	if _, err := c.run(ctx, takeScript, "try", 1, 1); err != nil {
		return err
	}
	if took := time.Since(began); took > c.within {
		return errSlow
	}
	return nil
}

// ask runs a script within the bound. The caller's own leaving is no fault of
// Redis.
func (c *Counter) ask(caller context.Context, script *redis.Script, key string, args ...any) ([]int64, error) {
	if c.Lost() {
		return nil, ErrLost
	}
	ctx, cancel := context.WithTimeoutCause(caller, c.within, errSlow)
	defer cancel()
	said, err := c.run(ctx, script, key, args...)
	if err != nil && caller.Err() == nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		c.lose(err)
	}
	return said, err
}

func (c *Counter) run(ctx context.Context, script *redis.Script, key string, args ...any) ([]int64, error) {
	said, err := script.Run(ctx, c.client, []string{"gatehouse:" + key}, args...).Int64Slice()
	if err == nil && len(said) != answers {
		err = fmt.Errorf("a script answered %d numbers, not %d", len(said), answers)
	}
	return said, err
}

// Take implements gatehouse.SharedLimits.
func (c *Counter) Take(ctx context.Context, key string, allowed gatehouse.Rate) (gatehouse.Taken, error) {
	// A burst of the whole limit, and then one each so often.
	each := max(1, allowed.Per.Microseconds()/int64(allowed.Count))
	said, err := c.ask(ctx, takeScript, "limit:"+key, each, each*int64(allowed.Count))
	if err != nil {
		return gatehouse.Taken{}, err
	}
	wait, used := said[0], said[1]
	return gatehouse.Taken{Wait: micros(wait), Remaining: int(max(0, int64(allowed.Count)-ceil(used, each))), Reset: micros(used)}, nil
}

// Tries implements gatehouse.SharedLimits.
func (c *Counter) Tries(ctx context.Context, key string, b gatehouse.Backoff) (gatehouse.Tries, error) {
	before, _, err := c.tries(ctx, key, b, false)
	return before, err
}

// Wrong implements gatehouse.SharedLimits.
func (c *Counter) Wrong(ctx context.Context, key string, b gatehouse.Backoff) (before, after gatehouse.Tries, err error) {
	return c.tries(ctx, key, b, true)
}

func (c *Counter) tries(ctx context.Context, key string, b gatehouse.Backoff, count bool) (before, after gatehouse.Tries, err error) {
	said, err := c.ask(ctx, triesScript, "tries:"+key, count, b.Free, b.First.Microseconds(), b.Longest.Microseconds(), b.Kept.Milliseconds())
	if err != nil {
		return before, after, err
	}
	if before.Wait = micros(said[0]); before.Wait > 0 || !count {
		before.Wrong = int(said[1])
		return before, before, nil
	}
	before.Wrong = int(said[1]) - 1
	return before, gatehouse.Tries{Wrong: int(said[1]), Wait: b.Wait(int(said[1]))}, nil
}

// Forgive implements gatehouse.SharedLimits.
func (c *Counter) Forgive(ctx context.Context, key string) error {
	_, err := c.ask(ctx, forgiveScript, "tries:"+key)
	return err
}

func micros(n int64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/int64(time.Microsecond))) * time.Microsecond
}

func ceil(n, by int64) int64 { return (n + by - 1) / by }
