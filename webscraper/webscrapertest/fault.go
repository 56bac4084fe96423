package webscrapertest

import (
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Fault makes API requests fail.
type Fault struct {
	Method string // "": any
	// Path is a pattern of path.Match for the path below [BasePath], such as
	// "scraping-job/*/json". "": any.
	Path string
	// After is how many matching requests pass first.
	After int
	// Times is how many requests are affected after that. 0: all of them, until the
	// fault is removed.
	Times int
	// Effect is what happens.
	Effect Effect
}

// Effect is what a [Fault] does to a request. It is called for each one, and responds
// itself or changes the response of next. The functions of this package return the usual
// effects.
type Effect func(c *Cloud, next http.Handler) http.Handler

// Injection is an active [Fault].
type Injection struct {
	cloud *Cloud
	fault Fault
	seen  int
	hits  int
}

// Inject activates a fault. A request gets at most one fault: the first that is due, in
// order of injection. It panics if the fault has no effect or an invalid pattern.
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

// Remove deactivates the fault for further requests.
func (i *Injection) Remove() {
	i.cloud.mu.Lock()
	defer i.cloud.mu.Unlock()
	i.cloud.faults = slices.DeleteFunc(i.cloud.faults, func(other *Injection) bool { return other == i })
}

// Hits returns how many requests the fault affected.
func (i *Injection) Hits() int {
	i.cloud.mu.Lock()
	defer i.cloud.mu.Unlock()
	return i.hits
}

// dueEffect returns the effect of the fault that is due, or one that does nothing.
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
