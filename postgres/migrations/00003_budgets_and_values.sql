-- The ledger of the calls to the API of Web Scraper Cloud, which all processes share, and
-- how many values each mapped column got, so that one which has lost them is found.

-- +goose Up

CREATE TABLE scrapehaul.api_budgets (
    account       text     PRIMARY KEY,
    window_length interval NOT NULL DEFAULT '15 minutes',
    window_number bigint   NOT NULL DEFAULT 0,
    calls         integer  NOT NULL DEFAULT 0,
    taken         integer  NOT NULL DEFAULT 0,
    commands      integer  NOT NULL DEFAULT 0,
    elsewhere     integer  NOT NULL DEFAULT 0,
    answered      boolean  NOT NULL DEFAULT false,
    resets_at     timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE scrapehaul.api_budgets IS
    'One row per account of Web Scraper Cloud: the window in which its API calls are counted at present. A window begins with its first call.';
COMMENT ON COLUMN scrapehaul.api_budgets.calls IS
    'How many calls the window has: the lowest API_CALLS_PER_15_MINUTES of those who have taken some, and what the service says.';
COMMENT ON COLUMN scrapehaul.api_budgets.taken IS
    'How many of them scrapehaul has taken; elsewhere counts those that others have made, as far as the service''s answers tell.';
COMMENT ON COLUMN scrapehaul.api_budgets.commands IS
    'How many of these were for people''s commands, like starter jobs.';
COMMENT ON COLUMN scrapehaul.api_budgets.answered IS
    'The service has answered to a call of the window, so that resets_at is no earlier than its own.';

CREATE TABLE scrapehaul.api_waits (
    account text        NOT NULL REFERENCES scrapehaul.api_budgets,
    holder  text        NOT NULL,
    calls   integer     NOT NULL,
    place   timestamptz NOT NULL,
    until   timestamptz NOT NULL,
    PRIMARY KEY (account, holder)
);
COMMENT ON TABLE scrapehaul.api_waits IS
    'Who waits for calls of a later window: a workflow by its ID, which has been promised them at a time.';
COMMENT ON COLUMN scrapehaul.api_waits.place IS
    'The order: when they were asked for, put back or forward by what they are for.';

ALTER TABLE scrapehaul.imports ADD COLUMN mapped_values jsonb;
COMMENT ON COLUMN scrapehaul.imports.mapped_values IS
    'How many rows have a value in each column of the mapping, empty text being none; null until it is published, and without a mapping or rows.';
