// Package faults is the fault laboratory: real servers, PostgreSQL and Redis as processes, TCP proxies between them
// that cut, stall and delay, fail points inside the servers, clients that write down every call and what came of it,
// and a checker of what must hold whatever happens. Each scenario prints one line of figures. It is built with the tag
// faults: `make faults` runs it, `make test` a short version of it.
package faults
