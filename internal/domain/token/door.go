package token

import "slices"

// Door is where a token was got. It is told by the audience, and with it where the token works: what one door gave, no
// other takes.
type Door string

// The doors.
const (
	Main          Door = ""              // sessions of /v1
	OAuth         Door = "oauth2"        // clients, /oauth2/token
	ItemPath      Door = "itempath"      // sessions, /api/users
	ServiceBroker Door = "servicebroker" // clients, /up/v5/oauth2/accessToken
	SecuriThings  Door = "securithings"  // clients, /token/{organization}
)

// clientDoors are the ends of the audiences of clients' access and refresh tokens. Without the latter a door gives no
// refresh tokens.
var clientDoors = map[Door]struct{ access, refresh string }{
	OAuth:         {"/api", "/oauth2/token"},
	ServiceBroker: {"/up/v5", ""},
	SecuriThings:  {"/securithings", "/token"},
}

// ClientAudience names where clients' tokens of a door work; ClientRefreshAudience the one place for the refresh tokens
// of a door.
func ClientAudience(issuer string, d Door) string { return issuer + clientDoors[d].access }
func ClientRefreshAudience(issuer string, d Door) string {
	return issuer + clientDoors[d].refresh
}

// clientDoor finds the door of an audience.
func clientDoor(issuer, audience string, refresh bool) (Door, bool) {
	for d, ends := range clientDoors {
		end := ends.access
		if refresh {
			end = ends.refresh
		}
		if end != "" && audience == issuer+end {
			return d, true
		}
	}
	return Main, false
}

// Reserved tells whether an audience is one of this server's own; nobody else's token may carry it.
func (s *Service) Reserved(audience string) bool {
	own := []string{Audience(s.issuer), RefreshAudience(s.issuer), LongLivedAudience(s.issuer),
		ReusableAudience(s.issuer), ReusableRefreshAudience(s.issuer)}
	_, access := clientDoor(s.issuer, audience, false)
	_, refresh := clientDoor(s.issuer, audience, true)
	return access || refresh || slices.Contains(own, audience)
}
