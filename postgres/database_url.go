package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lib/pq"
)

// wantDatabaseURL shows the form of the URL.
const wantDatabaseURL = ": want postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full (or sslmode=disable on a network of your own)" //nolint:gosec // a pattern, no credentials

// errNotDatabaseURL has no details, which might contain the password.
var errNotDatabaseURL = errors.New("is not the URL of a PostgreSQL database" + wantDatabaseURL)

var errUnclearEnd = errors.New("has an ambiguous password or database name: write / as %2F, @ as %40, # as %23 and ? as %3F in them")

const oneHost = `(?:[\w.%-]*|\[[0-9A-Fa-f:.]+\])(?::\d*)?`

var (
	// urlParts are user, password, hosts, database and parameters. The password ends at the
	// first @ before a list of hosts.
	urlParts   = regexp.MustCompile(`(?s)^postgres(?:ql)?://(?:([^:]*?)(?::(.*?))?@)?(` + oneHost + `(?:,` + oneHost + `)*)(?:/([^?]*))?(?:\?(.*))?$`)
	hostPort   = regexp.MustCompile(`^\[?(.*?)\]?(?::(\d*))?$`)
	goodEscape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	parameter  = regexp.MustCompile(`^\w+$`)
)

// runtimeParameters are the PostgreSQL parameters that lib/pq passes on. All others must be
// in options, so that a typo is not taken for one.
var runtimeParameters = strings.Fields(`
	search_path statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout transaction_timeout
	default_transaction_read_only default_transaction_isolation work_mem maintenance_work_mem timezone role synchronous_commit`)

// parameterAdvice says what to do about parameters of other programs.
var parameterAdvice = map[string]string{
	"connection_limit": "only Prisma uses it; MAX_CONCURRENT_IMPORTS and CONNECTIONS_PER_IMPORT set the number of connections: remove it",
	"schema":           "only Prisma uses it; the tables are in schema scrapehaul: remove it",
}

// target is a parsed DATABASE_URL.
type target struct {
	config pq.Config
	tcp    tcpOptions
	// saysTLS is set if there is an sslmode.
	saysTLS bool
}

// CheckDatabaseURL returns an error that says what is wrong with the URL. Its text follows
// the name of the setting ("is missing …") and never contains the password.
func CheckDatabaseURL(databaseURL string) error {
	if databaseURL == "" {
		return errors.New("is missing" + wantDatabaseURL)
	}
	to, err := parseDatabaseURL(databaseURL)
	if err == nil && !to.saysTLS {
		err = errors.New("does not say whether to use TLS" + wantDatabaseURL)
	}
	return err
}

// parseDatabaseURL reads URLs as libpq does and as providers print them: with several
// hosts, unescaped characters in the password, and parameters for libpq or clients of
// PgBouncer.
func parseDatabaseURL(databaseURL string) (target, error) {
	to := target{tcp: defaultTCPOptions}
	parts := urlParts.FindStringSubmatch(databaseURL)
	if parts == nil {
		return to, errNotDatabaseURL
	}
	user, err := unescape(parts[1])
	password, passwordErr := unescape(parts[2])
	if err := cmp.Or(err, passwordErr); err != nil {
		return to, err
	}
	hosts, hostsErr := url.PathUnescape(parts[3])
	database, err := url.PathUnescape(parts[4])
	switch {
	case strings.ContainsAny(parts[4], "@/#"):
		return to, errUnclearEnd
	case hostsErr != nil || err != nil:
		return to, errNotDatabaseURL
	}
	values := map[string]string{"user": user, "password": password, "dbname": database}
	if hosts != "" {
		var names, ports []string
		for host := range strings.SplitSeq(hosts, ",") {
			found := hostPort.FindStringSubmatch(host)
			names, ports = append(names, found[1]), append(ports, cmp.Or(found[2], "5432"))
		}
		values["host"], values["port"] = strings.Join(names, ","), strings.Join(ports, ",")
	}
	parameters, err := url.ParseQuery(parts[5])
	if err != nil {
		return to, errors.New("has parameters after ? that are not URL-escaped")
	}
	for name, given := range parameters {
		values[name] = given[len(given)-1]
	}
	_, to.saysTLS = values["sslmode"]
	if err = to.takeOwn(values); err == nil {
		err = to.configure(values)
	}
	if err != nil && !errors.Is(err, errNotDatabaseURL) && strings.Contains(err.Error(), "@") { // it may be part of the password
		err = errUnclearEnd
	}
	return to, err
}

// unescape leaves text as it is if no % in it is part of an escape.
func unescape(text string) (string, error) {
	plain, err := url.PathUnescape(text)
	switch {
	case err == nil:
		return plain, nil
	case goodEscape.MatchString(text):
		return "", errors.New("has a % in its user or password that is not part of an escape: write it as %25")
	}
	return text, nil
}

// takeOwn handles the parameters that lib/pq does not know, and removes them from values.
func (t *target) takeOwn(values map[string]string) error {
	for name, take := range map[string]func(n int){
		"keepalives":          func(n int) { t.tcp.keepAlive.Enable = n != 0 },
		"keepalives_idle":     func(n int) { t.tcp.keepAlive.Idle = time.Duration(n) * time.Second },
		"keepalives_interval": func(n int) { t.tcp.keepAlive.Interval = time.Duration(n) * time.Second },
		"keepalives_count":    func(n int) { t.tcp.keepAlive.Count = n },
		"tcp_user_timeout":    func(n int) { t.tcp.userTimeout = time.Duration(n) * time.Millisecond },
	} {
		value, there := values[name]
		if !there {
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("has %s=%q: want a number", name, value)
		}
		take(n)
		delete(values, name)
	}
	switch binding := values["channel_binding"]; {
	case binding == "require" && values["sslmode"] != "verify-full":
		return errors.New("has channel_binding=require, which the driver does not support: use sslmode=verify-full instead, which also verifies the server")
	case !slices.Contains([]string{"", "disable", "prefer", "require"}, binding):
		return errors.New("has a channel_binding other than disable, prefer or require")
	}
	delete(values, "channel_binding")
	delete(values, "pgbouncer") // Migrate detects its mode
	return nil
}

// configure has lib/pq read the remaining parameters.
func (t *target) configure(values map[string]string) (err error) {
	var dsn strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if advice, ok := parameterAdvice[name]; ok {
			return fmt.Errorf("has the parameter %s: %s", name, advice)
		}
		if !parameter.MatchString(name) {
			return unknownParameter(name)
		}
		if values[name] != "" {
			fmt.Fprintf(&dsn, "%s='%s' ", name, quote.Replace(values[name]))
		}
	}
	if t.config, err = pq.NewConfig(dsn.String()); err != nil {
		if password := values["password"]; password != "" && strings.Contains(err.Error(), password) {
			return errNotDatabaseURL
		}
		return fmt.Errorf("cannot be used: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(t.config.Runtime)) { // not known to the driver
		switch known := slices.Contains(runtimeParameters, strings.ToLower(name)); {
		case !known && strings.Contains(values[name], "@"):
			return errUnclearEnd
		case !known:
			return unknownParameter(name)
		}
	}
	if t.config.ConnectTimeout <= 0 {
		t.config.ConnectTimeout = connectTimeout
	}
	switch attrs := t.config.TargetSessionAttrs; attrs {
	case "", pq.TargetSessionAttrsAny:
		if len(t.config.Multi) > 0 { // connection.begin checks a single host
			t.config.TargetSessionAttrs = pq.TargetSessionAttrsPrimary
		}
	case pq.TargetSessionAttrsPrimary, pq.TargetSessionAttrsReadWrite:
	default:
		return fmt.Errorf("has target_session_attrs=%s: imports need primary or read-write", attrs)
	}
	return nil
}

func unknownParameter(name string) error {
	return fmt.Errorf("has the unknown parameter %q: write run-time parameters of PostgreSQL as options=-c%%20NAME%%3DVALUE", name)
}
