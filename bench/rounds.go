package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"
)

// contender is one of those that do the same work.
type contender struct {
	name  string // in the JSON: "psql_copy"
	title string // for people
	// missing is why it is left out, "" if it is not.
	missing string
	// prepare comes before run and is not timed; nil for nothing.
	prepare func(context.Context) error
	// run does the work once and says how long that took.
	run func(context.Context) (time.Duration, error)
}

// compare lets the contenders take turns, in the opposite order in every other
// round, and returns the medians of their seconds by their names.
func (s *stage) compare(ctx context.Context, contenders []contender) (figures, error) {
	return s.medians(func(round int) (figures, error) {
		order, seconds := slices.Clone(contenders), figures{}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			if c.missing != "" {
				continue
			}
			took, err := c.once(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.title, err)
			}
			s.step(fmt.Sprintf("%s: %.2f s", c.title, took.Seconds()))
			seconds[c.name] = took.Seconds()
		}
		return seconds, nil
	})
}

func (c *contender) once(ctx context.Context) (time.Duration, error) {
	if c.prepare != nil {
		if err := c.prepare(ctx); err != nil {
			return 0, err
		}
	}
	return c.run(ctx)
}

// against adds a row for each contender: how long it took, its rates, and how
// much faster ours is. Keys of the JSON start with prefix.
func (r *result) against(t *table, prefix string, contenders []contender, seconds figures, rates func(seconds float64) []string) {
	for _, c := range contenders {
		if c.missing != "" {
			t.row(c.title, r.notMeasured(prefix+"vs_"+c.name, c.missing))
			continue
		}
		took, faster := seconds[c.name], ""
		if c.name == "ours" {
			r.set(prefix+"seconds", took)
		} else {
			faster = r.figure(prefix+"vs_"+c.name, "%.2f × as fast", took/seconds["ours"])
		}
		t.row(slices.Concat([]string{c.title, fmt.Sprintf("%.2f", took)}, rates(took), []string{faster})...)
	}
}

// figures are what was measured once, by the names of the JSON.
type figures map[string]float64

// medians measures once in each round and returns the median of each figure.
func (s *stage) medians(once func(round int) (figures, error)) (figures, error) {
	all := map[string][]float64{}
	for round := range s.Rounds {
		measured, err := once(round)
		if err != nil {
			return nil, err
		}
		s.step(fmt.Sprintf("round %d of %d is done", round+1, s.Rounds))
		for name, value := range measured {
			all[name] = append(all[name], value)
		}
	}
	medians := figures{}
	for name, values := range all {
		medians[name] = median(values)
	}
	return medians, nil
}

// median is that of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// percentile is the smallest value that percent of the values do not exceed.
func percentile(values []float64, percent float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(percent/100*float64(len(sorted))))-1)]
}

// inParallel calls do with 0 to n-1, atATime at a time, and starts no more after
// an error, which it returns.
func inParallel(atATime, n int, do func(i int) error) error {
	var group sync.WaitGroup
	failed, fail := context.WithCancelCause(context.Background())
	defer fail(nil)
	slots := make(chan struct{}, atATime)
	for i := 0; i < n && failed.Err() == nil; i++ {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			if err := do(i); err != nil {
				fail(err)
			}
		})
	}
	group.Wait()
	return context.Cause(failed)
}

// waitFor polls until done says so.
func waitFor(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if ok, err := done(); err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
	}
}
