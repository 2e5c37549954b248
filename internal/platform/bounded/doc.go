// Package bounded keeps values in memory up to a bound and lets go of those that are used least. It knows nothing of
// what they are or how long they are good.
//
// The library behind it is generic and large, and a compiler writes such a type out anew in every package that can
// reach it, even through a field. So it is instantiated once, here, behind an interface: that made a clean build of
// the whole program take less than half the processor time.
package bounded
