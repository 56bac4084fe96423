package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// contender is one of those that do the same work.
type contender struct {
	name  string // in the JSON: "psql_copy"
	title string // for people
	// absent says why it cannot be measured; "" when it can.
	absent string
	// prepare comes before run and is not timed; nil for nothing.
	prepare func(context.Context) error
	// run does the work once and says how long that took.
	run func(context.Context) (time.Duration, error)
}

// compare lets the contenders take turns, in the opposite order in every other
// round, and returns the medians of their seconds by their names.
func (s *stage) compare(ctx context.Context, contenders []contender) (map[string]float64, error) {
	seconds := map[string][]float64{}
	for round := range s.Rounds {
		order := slices.Clone(contenders)
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, c := range order {
			if c.absent != "" {
				continue
			}
			took, err := c.once(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.title, err)
			}
			s.step(fmt.Sprintf("round %d of %d: %s: %.2f s", round+1, s.Rounds, c.title, took.Seconds()))
			seconds[c.name] = append(seconds[c.name], took.Seconds())
		}
	}
	medians := map[string]float64{}
	for name, all := range seconds {
		medians[name] = median(all)
	}
	return medians, nil
}

func (c *contender) once(ctx context.Context) (time.Duration, error) {
	if c.prepare != nil {
		if err := c.prepare(ctx); err != nil {
			return 0, err
		}
	}
	return c.run(ctx)
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

// percentile is the least of the values that so many percent do not exceed.
func percentile(values []float64, percent float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(percent/100*float64(len(sorted))))-1)]
}

// inParallel calls do with 0 to n-1 from so many goroutines at a time, and
// stops at the first error.
func inParallel(goroutines, n int, do func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var running sync.WaitGroup
	for range min(goroutines, n) {
		running.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	running.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
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
