package postgresserver

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lib/pq"
)

// maxPrefix leaves room for "_" and eight characters in PostgreSQL's 63 bytes.
const maxPrefix = 63 - 9

// CreateDatabase creates an empty UTF8 database with a unique name that starts with prefix.
// It returns its URL, which contains the password, and a function that drops it even while
// it has connections.
func (s *Server) CreateDatabase(ctx context.Context, prefix string) (databaseURL string, drop func(context.Context) error, err error) {
	// template1 may be in use or changed, template0 cannot.
	return s.create(ctx, prefix, "template0 ENCODING 'UTF8'")
}

// CopyDatabase is [Server.CreateDatabase] with what the database at originalURL has, which
// must have no connections.
func (s *Server) CopyDatabase(ctx context.Context, prefix, originalURL string) (databaseURL string, drop func(context.Context) error, err error) {
	original, err := parseURL(originalURL)
	if err != nil {
		return "", nil, err
	}
	return s.create(ctx, prefix, pq.QuoteIdentifier(strings.TrimPrefix(original.Path, "/")))
}

func (s *Server) create(ctx context.Context, prefix, template string) (databaseURL string, drop func(context.Context) error, err error) {
	name := prefix[:min(len(prefix), maxPrefix)] + "_" + strings.ToLower(rand.Text()[:8])
	_, err = s.admin.ExecContext(ctx, "CREATE DATABASE "+pq.QuoteIdentifier(name)+" TEMPLATE "+template+s.strategy)
	if err != nil {
		return "", nil, fmt.Errorf("creating the database %s: %w", name, err)
	}
	s.mu.Lock()
	s.leftOver[name] = struct{}{}
	s.mu.Unlock()

	u := *s.url
	u.Path = "/" + name
	return u.String(), func(ctx context.Context) error { return s.drop(ctx, name) }, nil
}

func (s *Server) drop(ctx context.Context, name string) error {
	if s.cluster != nil && s.cluster.lost {
		return nil
	}
	_, err := s.admin.ExecContext(ctx, "DROP DATABASE IF EXISTS "+pq.QuoteIdentifier(name)+" WITH (FORCE)")
	if err != nil {
		return fmt.Errorf("dropping the database %s: %w", name, err)
	}
	s.mu.Lock()
	delete(s.leftOver, name)
	s.mu.Unlock()
	return nil
}

// dropLeftOver drops the databases that CreateDatabase created and nobody dropped.
func (s *Server) dropLeftOver() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.mu.Lock()
	names := slices.Collect(maps.Keys(s.leftOver))
	s.mu.Unlock()
	var errs []error
	for _, name := range names {
		errs = append(errs, s.drop(ctx, name))
	}
	return errors.Join(errs...)
}
