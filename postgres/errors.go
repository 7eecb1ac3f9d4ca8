package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/gatehouse-auth/gatehouse"
)

var errSlow = errors.New("the database does not answer in time")

// SQLSTATE codes (PostgreSQL documentation, appendix A).
const (
	uniqueViolation     = "23505"
	checkViolation      = "23514" // what a row without a partition is
	deadlockDetected    = "40P01"
	lockNotAvailable    = "55P03"
	serializationFailed = "40001"
)

func hasCode(err error, codes ...string) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && slices.Contains(codes, said.Code)
}

// isServerError reports whether the server itself said so, and lives on.
func isServerError(err error) bool {
	var said *pgconn.PgError
	return errors.As(err, &said) && said.Severity == "ERROR"
}

// refusals are the errors by which a change says that it was not made.
var refusals = []error{
	gatehouse.ErrNotFound, gatehouse.ErrExists, gatehouse.ErrConflict, gatehouse.ErrClientState,
	gatehouse.ErrSecretRetired, gatehouse.ErrCutoff, gatehouse.ErrRevoked, gatehouse.ErrJournalGone,
}

func isRefusal(err error) bool {
	var spent *gatehouse.SpentError
	return errors.As(err, &spent) || slices.ContainsFunc(refusals, func(r error) bool { return errors.Is(err, r) })
}

// notDone is an error of something that changed nothing.
func notDone(err error) error {
	if err == nil || isRefusal(err) || errors.Is(err, gatehouse.ErrStore) {
		return err
	}
	return fmt.Errorf("%w: %w", gatehouse.ErrStore, err)
}

// commitFailed is an error of a transaction whose end was asked for. Where the
// server refused, it was rolled back. Where the connection broke or the server
// ended (a FATAL error can follow a commit), nobody knows. Nor does pgx: of a
// connection that broke while it waited for the answer it may say what it says
// of one that was closed before it was asked, which would be safe.
func commitFailed(err error) error {
	unsent := pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
	if err == nil || unsent || isServerError(err) {
		return notDone(err)
	}
	return fmt.Errorf("%w: %w", gatehouse.ErrUnknownOutcome, err)
}

// because tells why ctx ended, where that is what err came of.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}
