package postgres_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/scrapehaul/scrapehaul/internal/testbed/postgresserver/postgrestest"
	"github.com/scrapehaul/scrapehaul/mapping"
	"github.com/scrapehaul/scrapehaul/postgres"
	"github.com/scrapehaul/scrapehaul/sink/sinktest"
)

// newRole creates a role for the duration of this test.
func newRole(t *testing.T, admin *sqlx.DB, attributes string) (name string) {
	t.Helper()
	name = fmt.Sprintf("importer_%d", time.Now().UnixNano())
	admin.MustExec(`CREATE ROLE ` + name + ` ` + attributes)
	t.Cleanup(func() { admin.MustExec(`DROP OWNED BY ` + name + ` CASCADE; DROP ROLE ` + name) })
	return name
}

// asRole returns a migrated database whose importing role is no superuser.
func asRole(t *testing.T) (admin, db *sqlx.DB, role string) {
	t.Helper()
	at := postgrestest.NewDatabase(t)
	admin = connect(t, at)
	role = newRole(t, admin, "")
	admin.MustExec(`CREATE SCHEMA scrapehaul AUTHORIZATION ` + role + `; CREATE SCHEMA sitemaps AUTHORIZATION ` + role)
	db = connect(t, at+"&options=-c%20role%3D"+role)
	_, err := postgres.Migrate(t.Context(), db)
	require.NoError(t, err)
	return admin, db, role
}

const productsTable = `CREATE TABLE public.products (scrapingjob_id bigint, url text, price numeric, "in Stock" bigint);`

// applyFix runs the statements that the error shows.
func applyFix(t *testing.T, admin *sqlx.DB, err error) {
	t.Helper()
	var refusal *postgres.MappedTableError
	require.ErrorAs(t, err, &refusal)
	require.NotEmpty(t, refusal.Fix)
	for _, statement := range refusal.Fix {
		require.ErrorContains(t, err, statement)
		admin.MustExec(statement)
	}
}

func parsed(t *testing.T, file string) *mapping.Mappings {
	t.Helper()
	mappings, err := mapping.Parse("mappings.yaml", []byte(file))
	require.NoError(t, err)
	return mappings
}

// Otherwise the DELETE of a re-import would see no row, and all rows would be there twice.
func TestRowLevelSecurityThatHidesRowsIsReportedAtStart(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ policies, fix string }{
		"no policy": {"", `CREATE POLICY scrapehaul ON "public"."products" TO "%s" USING (true) WITH CHECK (true); -- its row-level security hides rows from the role`},
		"a policy for another role": {
			`CREATE POLICY readers ON products TO pg_monitor USING (true); CREATE POLICY cheap ON products USING (price < 5);`, "CREATE POLICY scrapehaul ON",
		},
		"a policy for writes only": {`CREATE POLICY writers ON products FOR INSERT WITH CHECK (true);`, "CREATE POLICY scrapehaul ON"},
		"a restrictive policy": {
			`CREATE POLICY everybody ON products USING (true); CREATE POLICY cheap ON products AS RESTRICTIVE USING (price < 5);`, `ALTER ROLE "%s" BYPASSRLS;`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			admin, db, role := asRole(t)
			admin.MustExec(productsTable + `GRANT ALL ON products TO ` + role + `; ALTER TABLE products ENABLE ROW LEVEL SECURITY;` + test.policies)
			err := postgres.PrepareMappedTables(t.Context(), db, parsed(t, replaceJob))
			require.ErrorContains(t, err, `table public.products does not match its mapping, run: `+strings.ReplaceAll(test.fix, "%s", role))
			applyFix(t, admin, err)
			store := mapped(t, db, replaceJob)
			published(t, store, 1, "shop", product("a", "1"), product("b", "9"))
			published(t, store, 1, "shop", product("a", "2"), product("c", "9"))
			require.Equal(t, []string{"1 a 2 7", "1 c 9 7"}, rows(t, admin, allProducts))
		})
	}
}

func TestNothingIsPublishedAfterRowLevelSecurityIsEnabled(t *testing.T) {
	t.Parallel()
	admin, db, role := asRole(t)
	admin.MustExec(productsTable + `GRANT ALL ON products TO ` + role)
	store := mapped(t, db, replaceJob)
	published(t, store, 1, "shop", product("a", "1"))
	again := ofSitemap("shop", ofJob(1, request(2, 1)))
	again.RequestedAt = time.Now()
	attempt := begin(t, store, again)
	require.NoError(t, commit(t, attempt, 1, 1, `{"url":"b","price":"%d","stock":"7"}`))
	admin.MustExec(`ALTER TABLE products ENABLE ROW LEVEL SECURITY; CREATE POLICY writers ON products FOR INSERT WITH CHECK (true)`)
	err := attempt.Publish(t.Context(), func() {})
	require.ErrorContains(t, err, `table public.products: pq: query would be affected by row-level security policy for table "products"`)
	require.ErrorContains(t, err, `, run: CREATE POLICY`)
	require.Equal(t, []string{"1 a 1 7"}, rows(t, admin, allProducts))

	again.Pass = 3
	_, err = store.BeginImport(t.Context(), again)
	applyFix(t, admin, err)
	attempt = begin(t, store, again)
	require.NoError(t, commit(t, attempt, 1, 1, `{"url":"c","price":"3","stock":"%d"}`))
	require.NoError(t, attempt.Publish(t.Context(), func() {}))
	require.Equal(t, []string{"1 c 3 1"}, rows(t, admin, allProducts))
}

func TestPublicationOfAMappedTableWithoutReplicaIdentityIsReportedAtStart(t *testing.T) {
	t.Parallel()
	const partitioned = `CREATE TABLE public.products (scrapingjob_id bigint, url text, price numeric, "in Stock" bigint) PARTITION BY HASH (url);
		CREATE TABLE public.products_0 PARTITION OF products FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE public.products_1 PARTITION OF products FOR VALUES WITH (MODULUS 2, REMAINDER 1);`
	for name, test := range map[string]struct {
		tables, publication, mapping string
		missing                      int
	}{
		"of all tables":          {productsTable, `FOR ALL TABLES`, replaceJob, 1},
		"of the table":           {productsTable, `FOR TABLE products`, replaceJob, 1},
		"of its partitions":      {partitioned, `FOR ALL TABLES`, replaceJob, 2},
		"through the root table": {partitioned, `FOR TABLE products WITH (publish_via_partition_root)`, replaceJob, 2},
		"of updates":             {productsTable + `CREATE UNIQUE INDEX ON products (url);`, `FOR ALL TABLES WITH (publish = 'update')`, upsert, 1},
		"of deletes":             {productsTable + `CREATE UNIQUE INDEX ON products (url);`, `FOR ALL TABLES WITH (publish = 'delete')`, upsert, 1},
		"of inserts":             {productsTable, `FOR ALL TABLES WITH (publish = 'insert')`, replaceJob, 0},
		"of another table":       {productsTable + `CREATE TABLE others (id int);`, `FOR TABLE others`, replaceJob, 0},
		"with a primary key":     {productsTable + `ALTER TABLE products ADD id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY;`, `FOR ALL TABLES`, replaceJob, 0},
		"of our own table":       {``, `FOR ALL TABLES`, replaceJob, 0},
		"of our own with a key":  {``, `FOR ALL TABLES`, deactivate, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, db := newStore(t)
			db.MustExec(test.tables + `CREATE PUBLICATION changes ` + test.publication)
			err := postgres.PrepareMappedTables(t.Context(), db, parsed(t, test.mapping))
			if test.missing > 0 {
				require.ErrorContains(t, err, `REPLICA IDENTITY FULL; -- publication "changes" has its changes`)
				require.Equal(t, test.missing, strings.Count(err.Error(), "ALTER TABLE"), err)
				applyFix(t, db, err)
			}
			store := mapped(t, db, test.mapping)
			published(t, store, 1, "shop", product("a", "1"), product("b", "1"))
			published(t, store, 1, "shop", product("a", "2"), product("c", "2"))
			require.Contains(t, rows(t, db, allProducts), "1 a 2 7")
		})
	}
}

func TestPublicationOfTablesThatTheRoleCannotSeeIsNoProblem(t *testing.T) {
	t.Parallel()
	admin, db, role := asRole(t)
	admin.MustExec(productsTable + `ALTER TABLE public.products REPLICA IDENTITY FULL; GRANT ALL ON public.products TO ` + role + `;
		CREATE SCHEMA hidden; CREATE TABLE hidden.products (id int); CREATE PUBLICATION changes FOR ALL TABLES`)
	published(t, mapped(t, db, replaceJob), 1, "shop", product("a", "1"))
}

// The schema's own tables must work in a publication, too.
func TestTablesOfTheSchemaCanBePublished(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(`CREATE PUBLICATION changes FOR ALL TABLES`)
	require.Empty(t, rows(t, db, `SELECT relname FROM pg_class WHERE relnamespace = 'scrapehaul'::regnamespace AND relkind = 'r'
		AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = pg_class.oid AND indisprimary)`), "tables without a primary key")
	store := mapped(t, db, replaceJob)
	require.NoError(t, sinktest.TestRecordSink(t.Context(), store, readRecords(db)))
}

func TestNothingIsPublishedAfterAPublicationIsCreated(t *testing.T) {
	t.Parallel()
	_, db := newStore(t)
	db.MustExec(productsTable)
	store := mapped(t, db, replaceJob)
	attempt := begin(t, store, ofSitemap("shop", request(1, 1)))
	require.NoError(t, commit(t, attempt, 1, 1, `{"url":"b","price":"%d"}`))
	db.MustExec(`CREATE PUBLICATION changes FOR ALL TABLES`)
	err := attempt.Publish(t.Context(), func() {})
	require.ErrorContains(t, err, `table public.products: pq: cannot delete from table "products" because it does not have a replica identity and publishes deletes`)
	applyFix(t, db, err)
	require.NoError(t, begin(t, store, ofSitemap("shop", request(1, 1))).Publish(t.Context(), func() {}))
}

func TestEventTriggerThatRefusesTheRoleIsReportedAtStart(t *testing.T) {
	t.Parallel()
	admin, db, role := asRole(t)
	admin.MustExec(productsTable + `GRANT ALL ON products TO ` + role + `;
		CREATE TABLE public.ddl_log (tag text);
		CREATE FUNCTION public.log_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.ddl_log VALUES (tg_tag); END $$;
		CREATE EVENT TRIGGER log_ddl ON ddl_command_end EXECUTE FUNCTION public.log_ddl()`)
	err := postgres.PrepareMappedTables(t.Context(), db, parsed(t, replaceJob))
	require.ErrorContains(t, err, `table public.products: creating a table to hold rows until they are published: pq: permission denied for table ddl_log`)
	attempt, viewErr := publishRecords(t.Context(), postgres.NewStore(db, nil), 7, "news", `{"a":"1"}`)
	require.NoError(t, viewErr, "unmapped sitemaps are published")
	require.Contains(t, attempt.Problem(), `making view sitemaps."news": permission denied for table ddl_log`)
	require.ErrorContains(t, err, `run: ALTER FUNCTION public.log_ddl() SECURITY DEFINER; -- event trigger "log_ddl" runs it for every created table`)
	applyFix(t, admin, err)
	store := mapped(t, db, replaceJob)
	require.Zero(t, count(t, admin, `SELECT count(*) FROM public.ddl_log WHERE tag LIKE '%TABLE%'`), "the trial is rolled back")
	published(t, store, 1, "shop", product("a", "1"))
	require.NotZero(t, count(t, admin, `SELECT count(*) FROM public.ddl_log`))
	nothingHeld(t, db)

	admin.MustExec(`ALTER FUNCTION public.log_ddl() SECURITY INVOKER`)
	_, err = store.BeginImport(t.Context(), ofSitemap("shop", request(1, 1)))
	applyFix(t, admin, err)
	dropped := begin(t, store, ofSitemap("shop", request(1, 1)))
	require.NoError(t, commit(t, dropped, 1, 1, `{"url":"b","price":"%d","stock":"7"}`))
	admin.MustExec(`DROP EVENT TRIGGER log_ddl; ALTER FUNCTION public.log_ddl() SECURITY INVOKER;
		CREATE EVENT TRIGGER log_drops ON sql_drop EXECUTE FUNCTION public.log_ddl()`)
	applyFix(t, admin, dropped.Publish(t.Context(), func() {}))
	require.NoError(t, begin(t, store, ofSitemap("shop", request(1, 1))).Publish(t.Context(), func() {}))
	nothingHeld(t, db)
}

func TestRowLevelSecurityOfTheSchemaIsFound(t *testing.T) {
	t.Parallel()
	admin, db, role := asRole(t)
	admin.MustExec(`ALTER TABLE scrapehaul.imports ENABLE ROW LEVEL SECURITY`)
	found, err := postgres.Examine(t.Context(), db)
	require.NoError(t, err)
	require.Empty(t, found.Forbidden, "it does not apply to the owner")
	admin.MustExec(`ALTER TABLE scrapehaul.imports OWNER TO CURRENT_USER; GRANT ALL ON scrapehaul.imports TO ` + role)
	found, err = postgres.Examine(t.Context(), db)
	require.NoError(t, err)
	require.Equal(t, []string{"table imports"}, found.Forbidden)
}

func TestMissingPrivilegesAreReportedAtStart(t *testing.T) {
	t.Parallel()
	for file, privileges := range map[string]string{replaceJob: "SELECT, INSERT, DELETE", upsert: "INSERT, UPDATE, DELETE"} {
		admin, db, role := asRole(t)
		admin.MustExec(productsTable + `CREATE UNIQUE INDEX ON public.products (url)`)
		if file == upsert {
			admin.MustExec(`GRANT SELECT (url) ON public.products TO ` + role)
		}
		err := postgres.PrepareMappedTables(t.Context(), db, parsed(t, file))
		require.ErrorContains(t, err, `GRANT `+privileges+` ON "public"."products" TO "`+role+`";`)
		admin.MustExec(`GRANT SELECT ON public.products TO ` + role)
		applyFix(t, admin, err)
		published(t, mapped(t, db, file), 1, "shop", product("a", "1"))
	}
}

// With Vault and some managed services, a program logs in as one role and switches to another.
func TestAttemptsOfOtherLoginsAreTerminated(t *testing.T) {
	t.Parallel()
	at := postgrestest.NewDatabase(t)
	admin := connect(t, at)
	owner := newRole(t, admin, "")
	admin.MustExec(`CREATE SCHEMA scrapehaul AUTHORIZATION ` + owner)
	login := func(grants string) *sqlx.DB {
		name := newRole(t, admin, `LOGIN PASSWORD 'secret' IN ROLE `+owner)
		admin.MustExec(strings.ReplaceAll(grants, "$", name))
		through := withUser(t, at, name, "secret")
		return connect(t, through+"&options=-c%20role%3D"+owner)
	}
	first, second := login(""), login("GRANT pg_signal_backend TO $")
	_, err := postgres.Migrate(t.Context(), first)
	require.NoError(t, err)
	for name, test := range map[string]struct{ before, after *sqlx.DB }{
		"the same login": {first, first}, "another login": {first, second},
	} {
		attempt := begin(t, postgres.NewStore(test.before, nil), request(1, 10))
		hanging := test.before.MustBegin()
		hanging.MustExec(`SELECT set_config('application_name', 'scrapehaul import of scraping job 1234', true)`)
		hanging.MustExec(`SELECT * FROM scrapehaul.scraping_jobs FOR UPDATE`)
		resumed := begin(t, postgres.NewStore(test.after, nil), request(1, 10))
		require.Equal(t, attempt.ID(), resumed.ID(), name)
		require.Error(t, hanging.Commit())
	}
	// One that the role cannot terminate is left alone.
	idle := second.MustBegin()
	idle.MustExec(`SELECT set_config('application_name', 'scrapehaul import of scraping job 1234', true)`)
	begin(t, postgres.NewStore(first, nil), request(1, 10))
	require.NoError(t, idle.Commit())
}

func withUser(t *testing.T, databaseURL, name, password string) string {
	t.Helper()
	at, err := url.Parse(databaseURL)
	require.NoError(t, err)
	at.User = url.UserPassword(name, password)
	return at.String()
}
