// Package rediscache is what lets package bearer keep its tokens in Redis or
// Valkey by github.com/redis/go-redis. Copy it: other clients take as few lines.
package rediscache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Client is a bearer.RedisClient. Have go-redis keep to the deadlines that it is
// given, or a Redis that hangs is waited for longer than bearer would:
//
//	rdb := redis.NewClient(&redis.Options{Addr: "redis.example:6379", ContextTimeoutEnabled: true})
//	cache := bearer.NewRedis(rediscache.Client{UniversalClient: rdb}, "myapp:tokens:")
//	source, err := bearer.New(bearer.Config{…, Cache: cache, CacheKey: key})
type Client struct{ redis.UniversalClient }

// Get returns nil where there is no such key.
func (c Client) Get(ctx context.Context, key string) ([]byte, error) {
	value, err := c.UniversalClient.Get(ctx, key).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return value, err
}

// Set reports whether the key was set.
func (c Client) Set(ctx context.Context, key string, value []byte, life time.Duration, onlyNew bool) (bool, error) {
	if onlyNew {
		return c.SetNX(ctx, key, value, life).Result()
	}
	return true, c.UniversalClient.Set(ctx, key, value, life).Err()
}

// Eval returns the script's number.
func (c Client) Eval(ctx context.Context, script string, keys []string, args ...string) (int64, error) {
	values := make([]any, len(args))
	for i := range args {
		values[i] = args[i]
	}
	return c.UniversalClient.Eval(ctx, script, keys, values...).Int64()
}
