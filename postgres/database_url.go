package postgres

import (
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

// wantDatabaseURL is how a URL looks.
const wantDatabaseURL = ": want postgres://USER:PASSWORD@HOST:5432/DATABASE?sslmode=verify-full (or sslmode=disable on a network of your own)" //nolint:gosec // a pattern, no credentials

// errNotDatabaseURL says no more: what is wrong with the text may be the password.
var errNotDatabaseURL = errors.New("is not the URL of a PostgreSQL database" + wantDatabaseURL)

var errUnclearEnd = errors.New("has a password or a database whose end is not clear: write / as %2F, @ as %40, # as %23 and ? as %3F in them")

var (
	scheme     = regexp.MustCompile(`^postgres(ql)?://`)
	hostList   = regexp.MustCompile(`^` + oneHost + `(,` + oneHost + `)*$`)
	hostPort   = regexp.MustCompile(`^(.*?)(?::(\d*))?$`)
	badEscape  = regexp.MustCompile(`%([^0-9A-Fa-f]|.[^0-9A-Fa-f]|.?$)`)
	goodEscape = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
)

const oneHost = `([\w.%-]*|\[[0-9A-Fa-f:.]+\])(:\d*)?`

// driverParameters are those that lib/pq knows.
var driverParameters = strings.Fields(`
	host hostaddr port dbname database user password passfile options application_name fallback_application_name
	sslmode sslnegotiation sslcert sslkey sslrootcert sslsni ssl_min_protocol_version ssl_max_protocol_version sslinline
	krbsrvname krbspn connect_timeout binary_parameters client_encoding datestyle target_session_attrs load_balance_hosts
	service min_protocol_version max_protocol_version`)

// runtimeParameters are those of PostgreSQL that lib/pq passes on. Others go into
// options: a typing error is not to be taken for one.
var runtimeParameters = strings.Fields(`
	search_path statement_timeout lock_timeout idle_in_transaction_session_timeout idle_session_timeout transaction_timeout
	default_transaction_read_only default_transaction_isolation work_mem maintenance_work_mem timezone role synchronous_commit`)

// parameterAdvice is about parameters of other programs.
var parameterAdvice = map[string]string{
	"connection_limit": "it is Prisma's; how many connections there are follows from MAX_CONCURRENT_IMPORTS and CONNECTIONS_PER_IMPORT: leave it out",
	"schema":           "it is Prisma's; the tables are in schema scrapehaul: leave it out",
}

// target is what a DATABASE_URL says.
type target struct {
	config pq.Config
	tcp    tcpOptions
	// saysTLS is set when there is an sslmode.
	saysTLS bool
}

// CheckDatabaseURL says what is wrong with the URL of a database, in a sentence
// that goes on after the name of the setting and never holds the password.
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

// parseDatabaseURL reads URLs as libpq and those who print them write them:
// several hosts, characters in the password that ought to be escaped, parameters
// that only libpq and PgBouncer's clients know.
func parseDatabaseURL(databaseURL string) (target, error) {
	to := target{tcp: defaultTCPOptions()}
	prefix := scheme.FindString(databaseURL)
	if prefix == "" {
		return to, errNotDatabaseURL
	}
	values, rest, err := splitUser(databaseURL[len(prefix):])
	if err != nil {
		return to, err
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, database, _ := strings.Cut(rest, "/")
	if strings.ContainsAny(database, "@/#") {
		return to, errUnclearEnd
	}
	if values["dbname"], err = url.PathUnescape(database); err != nil {
		return to, errNotDatabaseURL
	}
	if err := splitHosts(hosts, values); err != nil {
		return to, err
	}
	parameters, err := url.ParseQuery(query)
	if err != nil {
		return to, errors.New("has parameters after ? that are not escaped as in a URL")
	}
	for name, given := range parameters {
		values[name] = given[len(given)-1]
	}
	_, to.saysTLS = values["sslmode"]
	if err := to.takeOwn(values); err != nil {
		return to, err
	}
	return to, to.configure(values)
}

// splitUser takes USER:PASSWORD@ off. The password ends at the first @ that a list
// of hosts follows.
func splitUser(text string) (values map[string]string, rest string, err error) {
	values = map[string]string{}
	for at, c := range text {
		if c != '@' {
			continue
		}
		hosts, _, _ := strings.Cut(text[at+1:], "?")
		hosts, _, _ = strings.Cut(hosts, "/")
		if !hostList.MatchString(hosts) {
			continue
		}
		user, password, _ := strings.Cut(text[:at], ":")
		if values["user"], err = unescape(user); err == nil {
			values["password"], err = unescape(password)
		}
		return values, text[at+1:], err
	}
	return values, text, nil
}

// unescape takes a % that begins no escape for itself, if no other does.
func unescape(text string) (string, error) {
	if !badEscape.MatchString(text) {
		return url.PathUnescape(text)
	}
	if goodEscape.MatchString(text) {
		return "", errors.New("has a % in its user or password that begins no escape: write it as %25")
	}
	return text, nil
}

func splitHosts(hosts string, values map[string]string) error {
	if hosts == "" {
		return nil
	}
	if !hostList.MatchString(hosts) {
		return errNotDatabaseURL
	}
	var names, ports []string
	for host := range strings.SplitSeq(hosts, ",") {
		found := hostPort.FindStringSubmatch(host)
		name, err := url.PathUnescape(strings.Trim(found[1], "[]"))
		if err != nil {
			return errNotDatabaseURL
		}
		names = append(names, name)
		if found[2] == "" {
			found[2] = "5432"
		}
		ports = append(ports, found[2])
	}
	values["host"] = strings.Join(names, ",")
	values["port"] = strings.Join(ports, ",")
	return nil
}

// takeOwn takes the parameters out of values that lib/pq does not know.
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
		return errors.New("has channel_binding=require, which the driver cannot do: leave it out and say sslmode=verify-full, which makes sure of the server as well")
	case !slices.Contains([]string{"", "disable", "prefer", "require"}, binding):
		return errors.New("has a channel_binding that is none of disable, prefer and require")
	}
	delete(values, "channel_binding")
	delete(values, "pgbouncer") // Migrate finds out what it is set to
	return nil
}

// configure lets lib/pq read the rest.
func (t *target) configure(values map[string]string) error {
	var dsn strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if advice, ok := parameterAdvice[name]; ok {
			return fmt.Errorf("has the parameter %s: %s", name, advice)
		}
		if !slices.Contains(driverParameters, name) && !slices.Contains(runtimeParameters, strings.ToLower(name)) {
			if strings.Contains(name+values[name], "@") { // and may be of the password
				return errUnclearEnd
			}
			return fmt.Errorf("has the parameter %q, which is unknown: run-time parameters of PostgreSQL are written options=-c%%20NAME%%3DVALUE", name)
		}
		if values[name] != "" {
			fmt.Fprintf(&dsn, "%s='%s' ", name, quote.Replace(values[name]))
		}
	}
	var err error
	if t.config, err = pq.NewConfig(dsn.String()); err != nil {
		if password := values["password"]; password != "" && strings.Contains(err.Error(), password) {
			return errNotDatabaseURL
		}
		return fmt.Errorf("cannot be used: %w", err)
	}
	if t.config.ConnectTimeout <= 0 {
		t.config.ConnectTimeout = connectTimeout
	}
	switch attrs := t.config.TargetSessionAttrs; attrs {
	case "", pq.TargetSessionAttrsAny:
		if len(t.config.Multi) > 0 { // of one, begin finds out
			t.config.TargetSessionAttrs = pq.TargetSessionAttrsPrimary
		}
	case pq.TargetSessionAttrsPrimary, pq.TargetSessionAttrsReadWrite:
	default:
		return fmt.Errorf("has target_session_attrs=%s: imports need primary or read-write", attrs)
	}
	return nil
}
