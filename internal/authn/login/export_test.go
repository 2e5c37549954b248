package login

// ResetsWaiting is how many resets were asked for and are not looked at yet.
func (s *Service) ResetsWaiting() int { return len(s.resets) }
