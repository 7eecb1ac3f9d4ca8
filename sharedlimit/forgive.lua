-- Forgets the wrong tries of a key.
return {redis.call('UNLINK', KEYS[1]), 0}
