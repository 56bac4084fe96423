package browsertest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// errEnded is returned after the browser has ended.
var errEnded = errors.New("the browser has ended")

// connection speaks the DevTools protocol over two pipes: JSON objects, each followed by a
// zero byte. Responses have the number of their call, events have none.
type connection struct {
	to io.Writer

	mu      sync.Mutex
	last    int64
	answers map[int64]chan message // of pending calls
	loaded  map[string]bool        // finished page loads, by loaderId
	changed chan struct{}          // closed and replaced when loaded changes
	ended   chan struct{}          // closed when the browser has ended
}

// message is a message from the browser.
type message struct {
	ID     int64           `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
	Method string `json:"method"` // of an event
	Params struct {
		LoaderID string `json:"loaderId"`
		Name     string `json:"name"`
	} `json:"params"`
}

func connect(from io.Reader, to io.Writer) *connection {
	c := &connection{
		to: to, answers: map[int64]chan message{}, loaded: map[string]bool{},
		changed: make(chan struct{}), ended: make(chan struct{}),
	}
	go c.read(from)
	return c
}

// read dispatches messages until the pipe is closed.
func (c *connection) read(from io.Reader) {
	defer close(c.ended)
	messages := bufio.NewReader(from)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &m) != nil {
			continue // an event of another kind
		}
		c.mu.Lock()
		switch {
		case m.ID != 0:
			if answer, waits := c.answers[m.ID]; waits {
				delete(c.answers, m.ID)
				answer <- m
			}
		case m.Method == "Page.lifecycleEvent" && m.Params.Name == "load":
			c.loaded[m.Params.LoaderID] = true
			close(c.changed)
			c.changed = make(chan struct{})
		}
		c.mu.Unlock()
	}
}

// call calls a method, in the session unless that is empty, and decodes its result into
// result unless that is nil.
func (c *connection) call(ctx context.Context, session, method string, params map[string]any, result any) error {
	answer := make(chan message, 1)
	c.mu.Lock()
	c.last++
	request := map[string]any{"id": c.last, "method": method, "params": params}
	if session != "" {
		request["sessionId"] = session
	}
	text, err := json.Marshal(request)
	if err == nil {
		c.answers[c.last] = answer
		_, err = c.to.Write(append(text, 0))
	}
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case m := <-answer:
		switch {
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result != nil:
			return json.Unmarshal(m.Result, result)
		}
		return nil
	case <-c.ended:
		return fmt.Errorf("%s: %w", method, errEnded)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
}

// waitForLoad waits until the load has finished.
func (c *connection) waitForLoad(ctx context.Context, loaderID string) error {
	for {
		c.mu.Lock()
		loaded, changed := c.loaded[loaderID], c.changed
		c.mu.Unlock()
		if loaded {
			return nil
		}
		select {
		case <-changed:
		case <-c.ended:
			return errEnded
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
