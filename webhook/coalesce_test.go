package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/scrapehaul/scrapehaul/webhook"
	"github.com/scrapehaul/scrapehaul/workflows"
)

// slowTemporal delays signals and records their times.
type slowTemporal struct {
	temporal
	takes time.Duration
	fails func(sent int) error // for the nth signal, from 1

	mu   sync.Mutex
	sent []sentSignal
}

type sentSignal struct {
	start, durable time.Time // durable is zero if the caller left
	job, status    string
}

func (t *slowTemporal) SignalWithStartWorkflow(
	ctx context.Context, id, _ string, payload any, _ client.StartWorkflowOptions, _ any, _ ...any,
) (client.WorkflowRun, error) {
	t.mu.Lock()
	n := len(t.sent)
	t.sent = append(t.sent, sentSignal{start: time.Now(), job: id, status: payload.(workflows.Notification).Status})
	t.mu.Unlock()
	select {
	case <-time.After(t.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if t.fails != nil {
		if err := t.fails(n + 1); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent[n].durable = time.Now()
	return run{}, nil
}

// notified is a notification and its answer.
type notified struct {
	arrived, answered time.Time
	status            int
}

// receiver runs the webhook without a network.
type receiver struct {
	engine *gin.Engine
	log    *strings.Builder
	all    sync.WaitGroup
}

func receive(t *testing.T, c client.Client, change ...func(*webhook.Options)) *receiver {
	t.Helper()
	gin.SetMode(gin.TestMode)
	r := &receiver{engine: gin.New(), log: &strings.Builder{}}
	options := webhook.Options{Client: c, Tokens: []string{token}, Logger: slog.New(slog.NewTextHandler(r.log, nil))}
	for _, change := range change {
		change(&options)
	}
	require.NoError(t, webhook.Register(r.engine, options))
	return r
}

// post sends a notification; after all.Wait it has its answer.
func (r *receiver) post(ctx context.Context, job int, status string) *notified {
	n := &notified{arrived: time.Now()}
	body := fmt.Sprintf("scrapingjob_id=%d&status=%s&sitemap_id=12&sitemap_name=my-sitemap", job, status)
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, webhook.Path+"?token="+url.QueryEscape(token), strings.NewReader(body))
	request.Header.Set("Content-Type", form)
	r.all.Go(func() {
		answer := httptest.NewRecorder()
		r.engine.ServeHTTP(answer, request)
		n.answered, n.status = time.Now(), answer.Code
	})
	return n
}

// postTo sends the vendor's example and returns the status.
func (r *receiver) postTo(ctx context.Context, target string) int {
	request := httptest.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(vendorsExample))
	request.Header.Set("Content-Type", form)
	answer := httptest.NewRecorder()
	r.engine.ServeHTTP(answer, request)
	return answer.Code
}

// untilQuiet runs f in synctest.Test, which fails if a goroutine is left: nothing may remain
// for a quiet job.
func untilQuiet(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t)
		time.Sleep(time.Minute)
	})
}

func TestThousandsOfDuplicatesBecomeAHandfulOfSignals(t *testing.T) {
	untilQuiet(t, func(t *testing.T) {
		c := slowTemporal{takes: 20 * time.Millisecond}
		r := receive(t, &c)
		start := time.Now()
		var all []*notified
		for range 3000 {
			all = append(all, r.post(t.Context(), 1234, "finished"))
			time.Sleep(time.Millisecond)
		}
		r.all.Wait()
		require.Len(t, c.sent, 4, "immediately, and after 1, 2 and 3 s")
		require.Equal(t, start, c.sent[0].start)
		require.Equal(t, start.Add(20*time.Millisecond), all[0].answered)
		for _, n := range all {
			require.Equal(t, http.StatusAccepted, n.status)
			require.Less(t, n.answered.Sub(n.arrived), 2*time.Second)
			require.Condition(t, func() bool {
				for _, s := range c.sent {
					if !s.start.Before(n.arrived) && !s.durable.After(n.answered) {
						return true
					}
				}
				return false
			}, "answered at %s without a signal that was sent after its arrival at %s", n.answered.Sub(start), n.arrived.Sub(start))
		}
		require.Equal(t, 3000, strings.Count(r.log.String(), "Notification accepted"))
		require.Contains(t, r.log.String(), "coalesced=1\n")
	})
}

func TestConcurrentDuplicatesBecomeFewSignals(t *testing.T) {
	var c slowTemporal
	r := receive(t, &c)
	var all []*notified
	for range 3000 {
		all = append(all, r.post(t.Context(), 1234, "finished"))
	}
	r.all.Wait()
	require.LessOrEqual(t, len(c.sent), 10) // more on a slow machine
	for _, n := range all {
		require.Equal(t, http.StatusAccepted, n.status)
	}
}

func TestNotificationsOfOtherJobsAndLaterOnesAreNotDelayed(t *testing.T) {
	untilQuiet(t, func(t *testing.T) {
		var c slowTemporal
		r := receive(t, &c)
		all := []*notified{r.post(t.Context(), 1, "finished")}
		synctest.Wait()
		for job := range 5 {
			all = append(all, r.post(t.Context(), job+2, "finished"))
		}
		time.Sleep(time.Second + time.Nanosecond)
		all = append(all, r.post(t.Context(), 1, "finished"))
		r.all.Wait()
		require.Len(t, c.sent, 7)
		for _, n := range all {
			require.Equal(t, http.StatusAccepted, n.status)
			require.Equal(t, n.arrived, n.answered)
		}
	})
}

func TestSharedSignalHasTheLastNotification(t *testing.T) {
	untilQuiet(t, func(t *testing.T) {
		c := slowTemporal{takes: 2 * time.Second}
		r := receive(t, &c)
		for _, status := range []string{"stopped", "continuing", "failed", "finished"} {
			r.post(t.Context(), 1234, status)
			synctest.Wait()
		}
		r.all.Wait()
		require.Len(t, c.sent, 2)
		require.Equal(t, "stopped", c.sent[0].status)
		require.Equal(t, "finished", c.sent[1].status)
		require.Equal(t, c.sent[0].durable, c.sent[1].start, "a signal that took a second is followed immediately")
	})
}

func TestLeavingCallerCancelsNoSignal(t *testing.T) {
	for name, at := range map[string]time.Duration{
		"while the others wait": 500 * time.Millisecond, "while the shared signal is being sent": 1200 * time.Millisecond,
	} {
		t.Run(name, func(t *testing.T) {
			untilQuiet(t, func(t *testing.T) {
				c := slowTemporal{takes: 400 * time.Millisecond}
				r := receive(t, &c)
				r.post(t.Context(), 1234, "finished")
				synctest.Wait()
				leaves, leave := context.WithCancel(t.Context())
				defer leave()
				first := r.post(leaves, 1234, "finished")
				synctest.Wait()
				second := r.post(t.Context(), 1234, "finished")
				synctest.Wait()
				last := r.post(leaves, 1234, "finished")
				time.Sleep(at)
				leave()
				r.all.Wait()
				require.Len(t, c.sent, 2)
				require.Equal(t, http.StatusAccepted, second.status)
				require.Equal(t, c.sent[1].durable, second.answered)
				for _, gone := range []*notified{first, last} {
					require.Equal(t, http.StatusServiceUnavailable, gone.status)
					require.Equal(t, at, gone.answered.Sub(gone.arrived))
				}
			})
		})
	}
}

func TestSignalIsSentWhenAllCallersHaveLeft(t *testing.T) {
	untilQuiet(t, func(t *testing.T) {
		c := slowTemporal{takes: 400 * time.Millisecond}
		r := receive(t, &c)
		leaves, leave := context.WithCancel(t.Context())
		gone := r.post(leaves, 5, "finished")
		synctest.Wait()
		leave()
		r.all.Wait()
		require.Equal(t, http.StatusServiceUnavailable, gone.status)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, c.sent, 1)
		require.NotZero(t, c.sent[0].durable)
	})
}

func TestErrorOfASharedSignalIsReturnedToAll(t *testing.T) {
	untilQuiet(t, func(t *testing.T) {
		c := slowTemporal{fails: func(sent int) error {
			switch sent {
			case 2:
				return errors.New("shard")
			case 3:
				panic("unexpected")
			}
			return nil
		}}
		r := receive(t, &c)
		for sent, status := range []int{http.StatusAccepted, http.StatusServiceUnavailable, http.StatusServiceUnavailable, http.StatusAccepted} {
			var all []*notified
			for range 1 + 3*sent {
				all = append(all, r.post(t.Context(), 1234, "finished"))
			}
			r.all.Wait()
			require.Len(t, c.sent, sent+1)
			for _, n := range all {
				require.Equal(t, status, n.status)
			}
		}
		require.Equal(t, 4, strings.Count(r.log.String(), "shard"))
		require.Equal(t, 7, strings.Count(r.log.String(), "panic: unexpected"))
	})
}

func TestAllAreAnsweredInTimeWhenTemporalHangs(t *testing.T) {
	untilQuiet(t, func(t *testing.T) {
		c := slowTemporal{takes: time.Hour}
		r := receive(t, &c)
		var all []*notified
		for range 100 {
			all = append(all, r.post(t.Context(), 1234, "finished"))
			time.Sleep(100 * time.Millisecond)
		}
		r.all.Wait()
		for _, n := range all {
			require.Equal(t, http.StatusServiceUnavailable, n.status)
			require.LessOrEqual(t, n.answered.Sub(n.arrived), 7500*time.Millisecond)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range c.sent {
			require.Zero(t, s.durable)
		}
		require.LessOrEqual(t, len(c.sent), 3)
	})
}

func TestStoppingServerLosesNoWaitingNotification(t *testing.T) {
	proceed := make(chan struct{})
	c := slowTemporal{fails: func(int) error { <-proceed; return nil }}
	gin.SetMode(gin.TestMode)
	engine := gin.New()
	require.NoError(t, webhook.Register(engine, webhook.Options{Client: &c, Tokens: []string{token}, Logger: slog.New(slog.DiscardHandler)}))
	var received atomic.Int64
	const notifications = 20
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received.Add(1)
		engine.ServeHTTP(w, r)
	})}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var all sync.WaitGroup
	statuses := make(chan int, notifications)
	for range notifications {
		all.Go(func() {
			response, err := http.Post("http://"+listener.Addr().String()+webhook.Path+"?token="+url.QueryEscape(token), form, strings.NewReader(vendorsExample))
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
			statuses <- response.StatusCode
		})
	}
	require.Eventually(t, func() bool { return received.Load() == notifications }, 5*time.Second, time.Millisecond)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(t.Context()) }()
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	close(proceed)
	all.Wait()
	require.NoError(t, <-stopped)
	require.Len(t, statuses, notifications)
	for range notifications {
		require.Equal(t, http.StatusAccepted, <-statuses)
	}
	require.LessOrEqual(t, len(c.sent), 3)
}
