package postgres

import (
	"testing"

	"github.com/lib/pq"
	"github.com/stretchr/testify/require"
)

func TestDatabaseURLsOfProvidersAreAccepted(t *testing.T) {
	t.Parallel()
	for rest, want := range map[string]func(*target){
		"postgres://me:sesame@db.example/app":                                             func(*target) {},
		"postgresql://me:sesame@db.example:5432/app?pgbouncer=true":                       func(*target) {},
		"postgres://me:sesame@db.example/app?channel_binding=prefer":                      func(*target) {},
		"postgres://me:sesame@db.example/app?sslmode=verify-full&channel_binding=require": func(c *target) { c.config.SSLMode = "verify-full" },
		"postgres://me:sesame@/app?host=db.example&port=6432":                             func(c *target) { c.config.Port = 6432 },
		"postgres://me:sesame@/app?host=/run/postgresql&sslmode=disable":                  func(c *target) { c.config.Host = "/run/postgresql" },
		"postgres://me:ses%23ame@db.example/app":                                          func(c *target) { c.config.Password = "ses#ame" },
		"postgres://me:ses#ame@db.example/app":                                            func(c *target) { c.config.Password = "ses#ame" },
		"postgres://me:ses/ame@db.example:5432/app":                                       func(c *target) { c.config.Password = "ses/ame" },
		"postgres://me:ses?ame@db.example/app":                                            func(c *target) { c.config.Password = "ses?ame" },
		"postgres://me:ses%ame@db.example/app":                                            func(c *target) { c.config.Password = "ses%ame" },
		"postgres://me:ses[ame@db.example/app":                                            func(c *target) { c.config.Password = "ses[ame" },
		"postgres://me:ses@a'm\\e@db.example/app":                                         func(c *target) { c.config.Password = `ses@a'm\e` },
		"postgres://me:sesame@[::1]:5433/app":                                             func(c *target) { c.config.Host, c.config.Port = "::1", 5433 },
		"postgres://me@db.example/app?passfile=/run/pgpass":                               func(c *target) { c.config.Password, c.config.Passfile = "", "/run/pgpass" },
		"postgres://me:sesame@db.example/app?options=-c%20search_path%3Dmine@x":           func(c *target) { c.config.Options = "-c search_path=mine@x" },
		"postgres://me:sesame@db.example/app?statement_timeout=5s":                        func(c *target) { c.config.Runtime["statement_timeout"] = "5s" },
		"postgres://me:sesame@db.example/app?keepalives=0&tcp_user_timeout=10000": func(c *target) {
			c.tcp.keepAlive.Enable, c.tcp.userTimeout = false, 10e9
		},
		"postgres://me:sesame@db.example/app?keepalives_idle=30&keepalives_interval=10&keepalives_count=3": func(c *target) {
			c.tcp.keepAlive.Idle, c.tcp.keepAlive.Interval, c.tcp.keepAlive.Count = 30e9, 10e9, 3
		},
		"postgres://me:sesame@db.example:5432,other.example:5433/app": func(c *target) {
			c.config.Multi = []pq.ConfigMultihost{{Host: "other.example", Port: 5433}}
			c.config.TargetSessionAttrs = "primary"
		},
		"postgres://me:sesame@db.example,other.example:5433/app?target_session_attrs=read-write": func(c *target) {
			c.config.Multi = []pq.ConfigMultihost{{Host: "other.example", Port: 5433}}
			c.config.TargetSessionAttrs = "read-write"
		},
	} {
		t.Run(rest, func(t *testing.T) {
			wanted := target{tcp: defaultTCPOptions}
			wanted.config.Host, wanted.config.Port, wanted.config.Database = "db.example", 5432, "app"
			wanted.config.User, wanted.config.Password, wanted.config.Runtime = "me", "sesame", map[string]string{}
			want(&wanted)
			got, err := parseDatabaseURL(rest)
			require.NoError(t, err)
			require.Equal(t, wanted.tcp.keepAlive, got.tcp.keepAlive)
			require.Equal(t, wanted.tcp.userTimeout, got.tcp.userTimeout)
			require.Equal(t, wanted.config.Multi, got.config.Multi)
			require.Equal(t, wanted.config.Runtime, got.config.Runtime)
			for _, field := range []func(pq.Config) any{
				func(c pq.Config) any { return c.Host }, func(c pq.Config) any { return c.Port }, func(c pq.Config) any { return c.Database },
				func(c pq.Config) any { return c.User }, func(c pq.Config) any { return c.Password }, func(c pq.Config) any { return c.Passfile },
				func(c pq.Config) any { return c.Options }, func(c pq.Config) any { return c.TargetSessionAttrs },
			} {
				require.Equal(t, field(wanted.config), field(got.config))
			}
		})
	}
}

func TestAmbiguousDatabaseURLsAreRefusedWithoutShowingThePassword(t *testing.T) {
	t.Parallel()
	for databaseURL, want := range map[string]string{
		"host=db password=sesame":                                                         "is not the URL of a PostgreSQL database",
		"mysql://me:sesame@db/app":                                                        "is not the URL of a PostgreSQL database",
		"postgres://me:sesame@d b/app":                                                    "is not the URL of a PostgreSQL database",
		"postgres://me:sesame@db":                                                         "does not say whether to use TLS",
		"postgres://me:sesame@x/y@db/app?sslmode=disable":                                 "has an ambiguous password or database name",
		"postgres://me:x@y?sesame@db/app?sslmode=disable":                                 "has an ambiguous password or database name",
		"postgres://me:x@y?sslmode=sesame@db/app?sslmode=disable":                         "has an ambiguous password or database name",
		"postgres://me:x@y?keepalives=sesame@db/app":                                      "has an ambiguous password or database name",
		"postgres://me:x@y?sesame a@db/app?sslmode=disable":                               "has an ambiguous password or database name",
		"postgres://me:100%25%sesame@db/app?sslmode=disable":                              "has a % in its user or password that is not part of an escape",
		"postgres://me:sesame@db:99999/app?sslmode=disable":                               "cannot be used: pq: wrong value for \"port\"",
		"postgres://me:sesame@db/app?sslmode=require&channel_binding=require":             "has channel_binding=require, which the driver does not support",
		"postgres://me:sesame@db/app?sslmode=disable&keepalives=yes":                      `has keepalives="yes": want a number`,
		"postgres://me:sesame@db/app?sslmode=disable&connection_limit=5":                  "has the parameter connection_limit: only Prisma uses it",
		"postgres://me:sesame@db/app?sslmode=disable&schema=public":                       "has the parameter schema: only Prisma uses it",
		"postgres://me:sesame@db/app?sslmode=disable&app_name=x":                          `has the unknown parameter "app_name"`,
		"postgres://me:sesame@db/app?sslmode=disable&target_session_attrs=standby":        "has target_session_attrs=standby: imports need primary or read-write",
		"postgres://me:sesame@db/app?sslmode=sesame":                                      "is not the URL of a PostgreSQL database",
		"postgres://me:sesame@db/app?sslmode=disable&options=%zz":                         "has parameters after ? that are not URL-escaped",
		"postgres://me:sesame@db:5432,other:5433/app?sslmode=disable&port=5432,5433,5434": "cannot be used: pq: could not match",
	} {
		err := CheckDatabaseURL(databaseURL)
		require.ErrorContains(t, err, want, databaseURL)
		require.NotContains(t, err.Error(), "sesame")
	}
}
