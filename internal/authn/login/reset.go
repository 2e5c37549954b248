package login

import (
	"context"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/principal"
	"github.com/itsm-automation/gatehouse/internal/core/secret"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
	"github.com/itsm-automation/gatehouse/internal/platform/mail"
	"github.com/itsm-automation/gatehouse/internal/platform/sqldb"
)

// reset is a mail that was asked for.
type reset struct {
	user   user.User
	source principal.Source
	vain   bool      // nobody gets one
	due    time.Time // not written sooner
}

// The bounds of asking for mails.
const (
	resetsWaiting = 1024
	// ResetPause is how long a mail waits, so that writing it keeps neither its own answer waiting nor the next one:
	// that would tell that there is somebody to write to.
	ResetPause    = 200 * time.Millisecond
	ResetsPerHour = 5 // mails to one account
	resetTimeout  = 5 * time.Second
	resetAgain    = 2 * time.Second
)

// Forgot is somebody who says that they forgot their password.
type Forgot struct {
	Name   string
	Tenant Tenant
	Device secret.Secret
	Source principal.Source
}

// Forgotten sends a link at which a new password can be chosen, to the address of the account that the name means.
// Whether there is one changes nothing that the caller could see: what is asked and written until the answer is the
// same, and the mail is written by somebody else, later. Asking counts as a try at the account.
func (s *Service) Forgotten(ctx context.Context, in Forgot) error {
	if !s.Mails.Sends() {
		refusal := fault.Unavailablef(0, "This installation sends no mail. Ask an administrator for a link.")
		refusal.Configured = true
		return refusal
	}
	counter := in.Tenant.counter(in.Name)
	u, t, found, err := s.look(ctx, counter, in.Tenant.lookIn(), in.Name, in.Device, in.Source.Address)
	if err != nil {
		return err
	}
	reservation, err := s.reserve(ctx, t, in.Source.Address)
	if err != nil {
		return err
	}
	vain := !found || !u.HasPassword || reservation.AccountLocked
	select {
	case s.resets <- reset{user: u, source: in.Source, vain: vain, due: time.Now().Add(ResetPause)}:
	default:
		s.Log.WarnContext(ctx, "a password reset was not taken: too many wait", "requestId", in.Source.Request)
	}
	return nil
}

// MailResets writes the mails that were asked for, until ctx ends, and then those that wait still: they were promised.
func (s *Service) MailResets(ctx context.Context) {
	for {
		select {
		case r := <-s.resets:
			s.mailPromised(ctx, r)
			continue
		case <-ctx.Done():
		}
		for {
			select {
			case r := <-s.resets:
				s.mailPromised(ctx, r)
				continue
			default:
			}
			return
		}
	}
}

// mailPromised tries twice: a database that fails over is back by then.
func (s *Service) mailPromised(ctx context.Context, r reset) {
	select {
	case <-time.After(time.Until(r.due)):
	case <-ctx.Done():
	}
	if r.vain {
		return
	}
	err := s.mailReset(ctx, r)
	if err != nil {
		select {
		case <-time.After(resetAgain):
		case <-ctx.Done():
		}
		err = s.mailReset(ctx, r)
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "a password reset was not mailed", "requestId", r.source.Request, "error", err)
	}
}

func (s *Service) mailReset(ctx context.Context, r reset) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resetTimeout)
	defer cancel()
	if closed, _, err := s.closed(ctx, r.user); err != nil || closed {
		return err
	}
	n, err := s.Mails.Written(ctx, r.user.Organization, string(r.user.ID), mail.ResetPassword, s.Now().Add(-time.Hour))
	if err != nil || n >= ResetsPerHour {
		return err
	}
	err = s.Users.MailReset(ctx, r.source, r.user)
	if fault.Is(err, fault.Limited) { // who asked must not learn of it: it would tell that the account exists
		s.Log.WarnContext(ctx, "a password reset was not mailed: too many mails", "requestId", r.source.Request,
			"error", err)
		return nil
	}
	return err
}

// ResetPassword gives a user the password they chose at a link that was mailed to them. Their sessions end, no device
// of theirs is known any more, and what was guessed at the account is forgiven. It signs nobody in: a second factor is
// still asked for.
func (s *Service) ResetPassword(ctx context.Context, source principal.Source, token secret.Secret,
	plain string) (user.User, error) {
	u, err := s.Users.ResetPassword(ctx, source, token, plain, s.forgetDevices(ctx))
	if err == nil {
		s.forgiven(ctx, u)
	}
	return u, err
}

// SetPassword is ResetPassword at a link that an administrator handed or mailed.
func (s *Service) SetPassword(ctx context.Context, source principal.Source, token secret.Secret,
	plain string) (user.User, error) {
	u, err := s.Users.SetPasswordByLink(ctx, source, token, plain, s.forgetDevices(ctx))
	if err == nil {
		s.forgiven(ctx, u)
	}
	return u, err
}

// forgetDevices makes a user's devices strangers with every change of the password: who knew the former one may have
// made theirs a known one.
func (s *Service) forgetDevices(ctx context.Context) user.Within {
	return func(tx *sqldb.Tx, u user.User) error { return s.Factors.ForgetDevices(ctx, tx, u.Organization, u.ID) }
}

// forgiven takes back what was guessed at an account whose password is another now. Should that fail, the lock ends by
// itself.
func (s *Service) forgiven(ctx context.Context, u user.User) {
	if err := s.forgive(ctx, u); err != nil {
		s.Log.WarnContext(ctx, "failed sign-ins were not forgiven after a new password", "user", u.ID, "error", err)
	}
}
