package webscrapertest

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Fault is something that goes wrong with API requests.
type Fault struct {
	Method string // "": any
	// Path is a pattern of path.Match for the path below [BasePath], such as
	// "scraping-job/*/json". "": any.
	Path string
	// After lets so many matching requests pass first.
	After int
	// Times is how many requests it happens to after that. 0: all of them,
	// until it is removed.
	Times int
	// Effect is what happens.
	Effect Effect
}

// Effect is what a [Fault] does to a request, for each of which it is called: it answers
// itself, or lets next answer and tampers with that. The functions of this package make the
// usual ones.
type Effect func(c *Cloud, next http.Handler) http.Handler

// Injection is a [Fault] that is in force.
type Injection struct {
	cloud *Cloud
	fault Fault
	seen  int
	hits  int
}

// Inject puts a fault in force. A request suffers one fault only: the first
// in order of injection that is due. It panics when the fault has no effect or
// a bad pattern.
func (c *Cloud) Inject(fault Fault) *Injection {
	if fault.Effect == nil {
		panic("webscrapertest: Inject: the fault has no Effect")
	}
	if _, err := path.Match(fault.Path, ""); err != nil {
		panic(fmt.Sprintf("webscrapertest: Inject: Path %q: %s", fault.Path, err))
	}
	injection := &Injection{cloud: c, fault: fault}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, injection)
	return injection
}

// Remove ends the fault for requests to come.
func (i *Injection) Remove() {
	i.cloud.mu.Lock()
	defer i.cloud.mu.Unlock()
	i.cloud.faults = slices.DeleteFunc(i.cloud.faults, func(other *Injection) bool { return other == i })
}

// Hits is how many requests the fault has happened to.
func (i *Injection) Hits() int {
	i.cloud.mu.Lock()
	defer i.cloud.mu.Unlock()
	return i.hits
}

// dueEffect is that of the fault that is due, and none where there is no such fault.
func (c *Cloud) dueEffect(r *http.Request) Effect {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range c.faults {
		matched, _ := path.Match(i.fault.Path, strings.TrimPrefix(r.URL.Path, BasePath)) // Inject checked it
		if i.fault.Path != "" && !matched || i.fault.Method != "" && i.fault.Method != r.Method {
			continue
		}
		i.seen++
		if i.seen <= i.fault.After || i.fault.Times > 0 && i.hits == i.fault.Times {
			continue
		}
		i.hits++
		return i.fault.Effect
	}
	return func(_ *Cloud, next http.Handler) http.Handler { return next }
}
