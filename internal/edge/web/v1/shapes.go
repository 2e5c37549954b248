package v1

import (
	"time"

	"github.com/itsm-automation/gatehouse/internal/core/id"
	"github.com/itsm-automation/gatehouse/internal/domain/mfa"
	"github.com/itsm-automation/gatehouse/internal/domain/session"
	"github.com/itsm-automation/gatehouse/internal/domain/user"
)

// UserBody is a user.
type UserBody struct {
	ID            string    `json:"id"`
	Email         string    `json:"email"`
	Username      string    `json:"username"`
	Name          string    `json:"name"`
	Type          string    `json:"type" enum:"person,application"`
	Role          string    `json:"role"`
	State         string    `json:"state" enum:"active,disabled"`
	HasPassword   bool      `json:"hasPassword"`
	EmailVerified bool      `json:"emailVerified" doc:"The address was proven: by a link that was mailed to it, or by an operator's word"`
	BreakGlass    bool      `json:"breakGlass" doc:"For emergencies: may sign in here although their domain's people sign in through their company alone"`
	MFAExempt     bool      `json:"mfaExempt" doc:"An application that may pass doors without a second step, whatever the organization demands"`
	CreatedAt     time.Time `json:"createdAt"`
	UpdatedAt     time.Time `json:"updatedAt"`
}

// ShowUser shows a user.
func ShowUser(u user.User) UserBody {
	return UserBody{ID: string(u.ID), Email: u.Email, Username: u.Username, Name: u.Name, Type: string(u.Kind),
		Role: u.Role, State: string(u.State), HasPassword: u.HasPassword,
		EmailVerified: u.EmailVerified, MFAExempt: u.MFAExempt, BreakGlass: u.BreakGlass,
		CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt}
}

// FactorBody is one authenticator.
type FactorBody struct {
	ID         string     `json:"id"`
	Method     string     `json:"method" enum:"totp,webauthn"`
	Name       string     `json:"name"`
	CreatedAt  time.Time  `json:"createdAt"`
	LastUsedAt *time.Time `json:"lastUsedAt"`
}

// ShowFactor shows an authenticator.
func ShowFactor(f mfa.Factor) FactorBody {
	return FactorBody{string(f.ID), f.Method, f.Name, f.CreatedAt, Moment(f.LastUsedAt)}
}

type backupCodesState struct {
	Remaining int  `json:"remaining"`
	Low       bool `json:"low" doc:"Three or fewer are left of a user who has factors"`
}

// FactorList is a user's factors; there are never so many that they need pages.
type FactorList struct {
	List[FactorBody]
	BackupCodes backupCodesState `json:"backupCodes"`
	Required    bool             `json:"required" doc:"The user must have a second factor"`
}

// ShowFactors shows a user's factors.
func ShowFactors(o mfa.Overview) FactorList {
	l := FactorList{List: List[FactorBody]{Data: make([]FactorBody, 0, len(o.Factors))}, Required: o.Required,
		BackupCodes: backupCodesState{o.CodesLeft, len(o.Factors) > 0 && o.CodesLeft <= mfa.CodesLow}}
	for _, f := range o.Factors {
		l.Data = append(l.Data, ShowFactor(f))
	}
	return l
}

// SessionBody is a session.
type SessionBody struct {
	ID         string    `json:"id"`
	UserID     string    `json:"userId"`
	Current    bool      `json:"current" doc:"The session of this very request"`
	Device     string    `json:"device" doc:"User agent of the sign-in"`
	Address    string    `json:"address" doc:"Address of the last use"`
	CreatedAt  time.Time `json:"createdAt"`
	LastUsedAt time.Time `json:"lastUsedAt"`
	ExpiresAt  time.Time `json:"expiresAt"`
}

// ShowSessions makes a page of a user's sessions.
func (a *API) ShowSessions(p Page, c Call, list string, u id.User, rows []session.Session) *ListOutput[SessionBody] {
	return Paged(a, p, c, list, []string{string(u)}, rows, func(s session.Session) string { return string(s.ID) },
		func(s session.Session) SessionBody {
			return SessionBody{ID: string(s.ID), UserID: string(s.User), Current: s.ID == c.Session, Device: s.Device,
				Address: s.Address, CreatedAt: s.CreatedAt, LastUsedAt: s.LastUsedAt, ExpiresAt: s.ExpiresAt}
		})
}
