package mail

import (
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/secret"
)

// Kind is what a mail tells; each has a template.
type Kind string

// The kinds. Those with a link carry a secret; the others are notices.
const (
	Invitation      Kind = "invitation"
	ChoosePassword  Kind = "choose_password"
	ResetPassword   Kind = "reset_password"
	PasswordChanged Kind = "password_changed"
	EmailChanged    Kind = "email_changed"
	FactorAdded     Kind = "factor_added"
	FactorRemoved   Kind = "factor_removed"
	FactorsReset    Kind = "factors_reset"
	BackupCodeUsed  Kind = "backup_code_used"
	BackupCodesMade Kind = "backup_codes_made"
	NewDevice       Kind = "new_device"
	BreakGlassUsed  Kind = "break_glass_used"

	ConnectionWarning Kind = "connection_warning"
)

var kinds = []Kind{Invitation, ChoosePassword, ResetPassword, PasswordChanged, EmailChanged, FactorAdded, FactorRemoved,
	FactorsReset, BackupCodeUsed, BackupCodesMade, NewDevice,
	BreakGlassUsed, ConnectionWarning}

// Message is a mail to be written.
type Message struct {
	Kind         Kind
	Subject      string // whom it is about: the id of a user or an invitation
	To           string // one address
	Name         string // of the person; may be empty
	Organization string // its name, as people know it
	Permit       Permit // that it was counted; notices need none

	Page     string        // of a link: the page of this server that it leads to
	Token    secret.Secret // of a link: goes into its fragment, which no browser sends and no server logs
	Lifetime time.Duration // of a link; a notice is worth telling for a few days

	Facts map[string]string // what the template of the kind tells
}

// noticeLifetime is how long a notice waits for a mail server that does not answer.
const noticeLifetime = 72 * time.Hour

func (m Message) lifetime() time.Duration {
	if m.Lifetime > 0 {
		return m.Lifetime
	}
	return noticeLifetime
}
