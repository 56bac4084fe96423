// Package networkproxy simulates the network between a client and a server: one that is
// slow or drops connections silently. It counts round trips.
package networkproxy

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Proxy forwards connections to one server. It is safe for concurrent use.
type Proxy struct {
	server     string
	delay      atomic.Int64 // one way
	roundTrips atomic.Int64
	ctx        context.Context // ends with the proxy
	stop       func() error

	mu    sync.Mutex
	links map[*link]bool
}

// New is [Start], and stops the proxy at the end of the test.
func New(t testing.TB, serverURL string) (p *Proxy, throughProxy string) {
	t.Helper()
	p, throughProxy, err := Start(serverURL)
	require.NoError(t, err)
	t.Cleanup(func() { _ = p.Stop() })
	return p, throughProxy
}

// Start starts a proxy to the server of a URL, and returns the URL through the proxy.
func Start(serverURL string) (p *Proxy, throughProxy string, err error) {
	at, err := url.Parse(serverURL)
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithCancel(context.Background())
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		cancel()
		return nil, "", err
	}
	p = &Proxy{server: at.Host, ctx: ctx, links: map[*link]bool{}}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.pass(client) })
		}
	})
	p.stop = func() error {
		cancel()
		err := listener.Close()
		running.Wait()
		return err
	}
	at.Host = listener.Addr().String()
	return p, at.String(), nil
}

// Stop closes the connections.
func (p *Proxy) Stop() error { return p.stop() }

// SetRoundTrip adds a delay to every round trip from now on.
func (p *Proxy) SetRoundTrip(d time.Duration) { p.delay.Store(int64(d / 2)) }

// RoundTrips returns how often clients have sent something after a response, over all
// connections.
func (p *Proxy) RoundTrips() int64 { return p.roundTrips.Load() }

// Silence makes the existing connections drop everything without telling either side, like
// a NAT that has forgotten them. New connections work.
func (p *Proxy) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for link := range p.links {
		link.silence()
	}
}

// link is a connection through the proxy.
type link struct {
	silent  chan struct{}
	silence func()
	// answered is set when the server was the last to send.
	answered atomic.Bool
}

func (p *Proxy) pass(client net.Conn) {
	l := &link{silent: make(chan struct{})}
	l.silence = sync.OnceFunc(func() { close(l.silent) })
	l.answered.Store(true)
	p.mu.Lock()
	p.links[l] = true
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.links, l)
	}()
	defer func() { _ = client.Close() }()
	server, err := new(net.Dialer).DialContext(p.ctx, "tcp", p.server)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	ended := make(chan struct{}, 2)
	pass := func(to, from net.Conn, note func()) {
		p.copy(l, to, from, note)
		ended <- struct{}{}
	}
	go pass(server, client, func() {
		if l.answered.CompareAndSwap(true, false) {
			p.roundTrips.Add(1)
		}
	})
	go pass(client, server, func() { l.answered.Store(true) })
	select {
	case <-ended:
		select {
		case <-l.silent: // neither side sees that the other is gone
			<-p.ctx.Done()
		default:
		}
	case <-p.ctx.Done():
	}
}

type chunk struct {
	data []byte
	due  time.Time
}

// copy forwards what one side sends, with the delay of the network, until that side ends or
// the connection is silenced.
func (p *Proxy) copy(l *link, to io.Writer, from io.Reader, note func()) {
	chunks := make(chan chunk, 1024) // bounds the data in flight
	go func() {
		defer close(chunks)
		for {
			data := make([]byte, 32<<10)
			n, err := from.Read(data)
			if n > 0 {
				note()
				select {
				case chunks <- chunk{data[:n], time.Now().Add(time.Duration(p.delay.Load()))}:
				case <-l.silent:
					return
				case <-p.ctx.Done():
					return
				}
			}
			if err != nil {
				return
			}
		}
	}()
	for {
		select {
		case <-l.silent:
			return
		case c, more := <-chunks:
			if !more {
				return
			}
			select {
			case <-time.After(time.Until(c.due)):
			case <-l.silent:
				return
			}
			if _, err := to.Write(c.data); err != nil {
				return
			}
		}
	}
}
