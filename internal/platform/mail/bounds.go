package mail

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/fault"
	"github.com/itsm-automation/gatehouse/internal/core/id"
)

// Window is the stretch of time for which mails are counted.
const Window = time.Hour

// Limits are how many mails of one sort there may be in a window: from one organization to one address, from all
// organizations to it, from one organization, and altogether. What one organization may do to an address is less than
// what all may, so that none can use up another's.
type Limits struct {
	ToAddressOfOrganization, ToAddress, OfOrganization, Altogether int64

	sort string
}

// The limits of the sorts of mails: those that somebody makes us send to an address of their choice, those that anybody
// can ask for, and notices of what happened to an account.
var (
	CausedLimits = Limits{ToAddressOfOrganization: 5, ToAddress: 20, OfOrganization: 100, Altogether: 2000,
		sort: "caused"}
	ResetLimits = Limits{ToAddressOfOrganization: 5, ToAddress: 50, OfOrganization: 200, Altogether: 5000,
		sort: "reset"}
	NoticeLimits = Limits{ToAddressOfOrganization: 20, ToAddress: 200, OfOrganization: 500, Altogether: 10000,
		sort: "notice"}
)

// limitsOf tells which limits a kind of mail has.
func limitsOf(k Kind) Limits {
	switch k {
	case Invitation, ChoosePassword, EmailChanged:
		return CausedLimits
	case ResetPassword:
		return ResetLimits
	}
	return NoticeLimits
}

// Bound is one counter of mails and the most it may reach.
type Bound struct {
	Subject string
	Most    int64
	Refusal string
}

// Count counts a mail against all bounds, or against none and gives fault.Limited if one is reached. It is exact over
// all nodes.
type Count func(ctx context.Context, window time.Duration, bounds []Bound) error

func (o *Outbox) countMail(ctx context.Context, org id.Organization, limits Limits, to string) error {
	to = strings.ToLower(to)
	return o.count(ctx, Window, []Bound{
		{limits.sort + " to of\x00" + string(org) + "\x00" + to, limits.ToAddressOfOrganization,
			"Too many mails to this address. Wait and try again."},
		{limits.sort + " to\x00" + to, limits.ToAddress, "Too many mails to this address. Wait and try again."},
		{limits.sort + " of\x00" + string(org), limits.OfOrganization, fmt.Sprintf(
			"Your organization has sent %d mails within an hour, which is the most. Wait and try again.",
			limits.OfOrganization)},
		{limits.sort, limits.Altogether,
			"This server has sent as many mails within an hour as it may. Wait and try again."},
	})
}

// Permit is leave to queue one mail to one address.
type Permit struct{ to string }

// To is the address.
func (p Permit) To() string { return p.to }

// Permit counts a mail that is about to be queued. It is asked for before the transaction that queues it; fault.Limited
// says that there were too many.
func (o *Outbox) Permit(ctx context.Context, org id.Organization, kind Kind, to string) (Permit, error) {
	if o.sender == nil {
		return Permit{to}, nil
	}
	return Permit{to}, o.countMail(ctx, org, limitsOf(kind), to)
}

// Unlimited is leave for whoever runs the server.
func Unlimited(to string) Permit { return Permit{to} }

// permitted tells whether a mail may be queued. Notices need no leave: they must not fail what they tell of, and are
// counted when they are sent instead.
func permitted(m Message) error {
	if limitsOf(m.Kind) != NoticeLimits && (m.To == "" || m.Permit.to != m.To) {
		return fmt.Errorf("mail: a mail of the kind %s was not counted", m.Kind)
	}
	return nil
}

// paced refuses a notice for now that would be one too many.
func (o *Outbox) paced(ctx context.Context, c claimed, v content) error {
	if limitsOf(v.Kind) != NoticeLimits {
		return nil
	}
	return o.countMail(ctx, c.org, NoticeLimits, v.To)
}

// again is when a mail that was not sent is tried next.
func (o *Outbox) again(c claimed, err error) time.Time {
	if fault.Is(err, fault.Limited) {
		return o.now().Add(fault.Of(err).RetryAfter)
	}
	return o.now().Add(backoff(c.attempts))
}
