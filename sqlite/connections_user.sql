-- What a user has agreed to is listed for them.
CREATE INDEX connections_user ON connections (user, id) WHERE user IS NOT NULL;
