-- name: PlatformReserve :many
-- A reservation counts as a failure before anything is verified: at the address, at the name and at the account, whose rows are locked in this order. A row
-- that is locked is left alone and does not come back. An address's window is fixed and keeps the moment of its first failure; else each failure moves it.
INSERT INTO login_attempts (digest, failures, locks, locked_until, updated_at) VALUES (@address, 1, 0, 0, @now), (@name, 1, 0, 0, @now), (@account, 1, 0, 0, @now)
ON CONFLICT (digest) DO UPDATE SET
    failures = CASE WHEN login_attempts.updated_at < CASE login_attempts.digest WHEN @address THEN CAST(@window_start AS BIGINT) ELSE CAST(@forget AS BIGINT) END THEN 1 ELSE login_attempts.failures + 1 END,
    locks = CASE WHEN login_attempts.updated_at < CASE login_attempts.digest WHEN @address THEN CAST(@window_start AS BIGINT) ELSE CAST(@forget AS BIGINT) END THEN 0
                 WHEN login_attempts.failures + 1 >= CASE login_attempts.digest WHEN @address THEN CAST(@address_failures AS BIGINT) ELSE CAST(@account_failures AS BIGINT) END THEN login_attempts.locks + 1
                 ELSE login_attempts.locks END,
    locked_until = CASE WHEN login_attempts.updated_at < CASE login_attempts.digest WHEN @address THEN CAST(@window_start AS BIGINT) ELSE CAST(@forget AS BIGINT) END
                          OR login_attempts.failures + 1 < CASE login_attempts.digest WHEN @address THEN CAST(@address_failures AS BIGINT) ELSE CAST(@account_failures AS BIGINT) END THEN 0
                        ELSE CAST(@lock_unit AS BIGINT) * CASE login_attempts.locks WHEN 0 THEN 1 WHEN 1 THEN 2 WHEN 2 THEN 4 WHEN 3 THEN 8 ELSE 15 END + CAST(@now AS BIGINT) END,
    updated_at = CASE WHEN login_attempts.digest = @address AND login_attempts.updated_at >= CAST(@window_start AS BIGINT) THEN login_attempts.updated_at ELSE @now END
WHERE login_attempts.locked_until <= @now
RETURNING digest, failures;

-- name: PlatformLockedUntil :one
SELECT locked_until FROM login_attempts WHERE digest = $1;

-- name: PlatformHold :exec
-- Changes nothing and takes the row's lock: what the next statement reads is not older than the lock.
UPDATE login_attempts SET failures = failures WHERE digest = $1;

-- name: PlatformForgive :exec
-- A success takes back what failed at its own account, and what failed at no account at all; the rest of the name's failures stay.
UPDATE login_attempts AS a SET
    locks = CASE WHEN a.failures > (SELECT CAST(COALESCE(SUM(s.failures), 0) AS BIGINT) FROM login_attempts s WHERE s.digest IN (@account, @nobody)) THEN a.locks ELSE 0 END,
    locked_until = 0,
    failures = CASE WHEN a.failures > (SELECT CAST(COALESCE(SUM(s.failures), 0) AS BIGINT) FROM login_attempts s WHERE s.digest IN (@account, @nobody))
                    THEN a.failures - (SELECT CAST(COALESCE(SUM(s.failures), 0) AS BIGINT) FROM login_attempts s WHERE s.digest IN (@account, @nobody)) ELSE 0 END
WHERE a.digest = @digest;

-- name: PlatformUnlock :exec
-- Like PlatformForgive by somebody who answers for one account: a name stays locked for what failed elsewhere.
UPDATE login_attempts AS a SET
    locks = CASE WHEN a.failures > (SELECT CAST(COALESCE(SUM(s.failures), 0) AS BIGINT) FROM login_attempts s WHERE s.digest IN (@account, @nobody)) THEN a.locks ELSE 0 END,
    locked_until = CASE WHEN a.failures - (SELECT CAST(COALESCE(SUM(s.failures), 0) AS BIGINT) FROM login_attempts s WHERE s.digest IN (@account, @nobody)) >= CAST(@max_failures AS BIGINT) THEN a.locked_until ELSE 0 END,
    failures = CASE WHEN a.failures > (SELECT CAST(COALESCE(SUM(s.failures), 0) AS BIGINT) FROM login_attempts s WHERE s.digest IN (@account, @nobody))
                    THEN a.failures - (SELECT CAST(COALESCE(SUM(s.failures), 0) AS BIGINT) FROM login_attempts s WHERE s.digest IN (@account, @nobody)) ELSE 0 END
WHERE a.digest = @digest;

-- name: PlatformClear :exec
DELETE FROM login_attempts WHERE digest IN (@account, @nobody);

-- name: PlatformRelease :exec
-- A reservation taken back: the attempt succeeded on this address, or was never made.
UPDATE login_attempts SET
    locks = CASE WHEN failures >= CAST(@max_failures AS BIGINT) AND locks > 0 THEN locks - 1 ELSE locks END,
    locked_until = CASE WHEN failures >= CAST(@max_failures AS BIGINT) THEN 0 ELSE locked_until END,
    failures = failures - 1
WHERE digest = @digest AND failures > 0;

-- name: PlatformReleaseShared :exec
-- Like PlatformRelease for a name, unless a success has forgiven the try already together with its account.
UPDATE login_attempts AS a SET
    locks = CASE WHEN a.failures >= CAST(@max_failures AS BIGINT) AND a.locks > 0 THEN a.locks - 1 ELSE a.locks END,
    locked_until = CASE WHEN a.failures >= CAST(@max_failures AS BIGINT) THEN 0 ELSE a.locked_until END,
    failures = a.failures - 1
WHERE a.digest = @digest AND a.failures > 0 AND EXISTS (SELECT 1 FROM login_attempts s WHERE s.digest = @account AND s.failures > 0);

-- name: PlatformPurge :execrows
DELETE FROM login_attempts WHERE login_attempts.updated_at < @before AND login_attempts.locked_until < @before AND login_attempts.digest IN (SELECT l.digest FROM login_attempts l WHERE l.updated_at < @before AND l.locked_until < @before ORDER BY l.updated_at LIMIT CAST(@row_limit AS BIGINT));

-- name: PlatformCount :one
-- Counts an act in a window that begins with the first.
INSERT INTO login_attempts (digest, failures, locks, locked_until, updated_at) VALUES (@digest, 1, 0, 0, @now)
ON CONFLICT (digest) DO UPDATE SET
    failures = CASE WHEN login_attempts.updated_at <= CAST(@window_start AS BIGINT) THEN 1 ELSE login_attempts.failures + 1 END,
    updated_at = CASE WHEN login_attempts.updated_at <= CAST(@window_start AS BIGINT) THEN @now ELSE login_attempts.updated_at END
RETURNING failures, updated_at;
