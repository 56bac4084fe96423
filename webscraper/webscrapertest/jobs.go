package webscrapertest

import "fmt"

// AddJob adds a job, and its sitemap if missing, and returns the job's ID. It panics on an
// invalid definition, such as an ID that is or was taken, or an unknown status.
func (c *Cloud) AddJob(definition Job) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	definition.ID = c.jobIDs.take(definition.ID)
	if _, taken := c.jobs[definition.ID]; taken {
		panic(fmt.Sprintf("webscrapertest: AddJob: the cloud already has or had job %d", definition.ID))
	}
	now := c.options.Clock()
	definition = c.addSitemapOf(definition).withDefaults(now)
	if err := validateStatus(definition.Status); err != nil {
		panic("webscrapertest: AddJob: " + err.Error())
	}
	c.jobs[definition.ID] = newJob(definition, now)
	return definition.ID
}

// Job returns a job with its current status. It returns false for a job that never existed
// or was deleted.
func (c *Cloud) Job(id int64) (Job, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j, err := c.job(id)
	if err != nil {
		return Job{}, false
	}
	return j.Job, true
}

// Deleted reports whether a job was deleted through the API.
func (c *Cloud) Deleted(id int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	j, ok := c.jobs[id]
	return ok && j.deleted
}

// SetStatus changes the status of a job without sending a webhook; see [Cloud.Finish]. A
// job with a [Timeline] leaves it. It fails for an unknown or deleted job, and for a status
// that the service does not have: "waiting-to-be-scheduled", "scheduling", "scheduled" and
// "started" before the end, "finished", "failed", "stopped" and "shelved" after it.
func (c *Cloud) SetStatus(id int64, status string) error {
	err := validateStatus(status)
	if err == nil {
		err = c.change(id, func(j *job) { j.setStatus(status) })
	}
	if err != nil {
		return fmt.Errorf("set the status of job %d: %w", id, err)
	}
	return nil
}

// SetRecords changes a job's records, under the same ID and status. Its
// stored_record_count and its page counters follow. It fails for an unknown or deleted job.
func (c *Cloud) SetRecords(id int64, records Records) error {
	if err := c.change(id, func(j *job) { j.setRecords(records) }); err != nil {
		return fmt.Errorf("set the records of job %d: %w", id, err)
	}
	return nil
}

// Continue runs a job again under the same ID, as the dashboard's Continue button does. Its
// status becomes "scheduling" and its download stays the same; when it ends, through
// [Cloud.Finish], [Cloud.SetStatus] or its [Timeline], it has records. It fails for an
// unknown or deleted job, and for one that has not ended.
func (c *Cloud) Continue(id int64, records Records) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	j, err := c.job(id)
	if err == nil && !terminal(j.Status) {
		err = fmt.Errorf("it is %q, want a job that has ended", j.Status)
	}
	if err != nil {
		return fmt.Errorf("continue job %d: %w", id, err)
	}
	j.continueWith(records, c.options.Clock())
	return nil
}

func (c *Cloud) change(id int64, change func(*job)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	j, err := c.job(id)
	if err != nil {
		return err
	}
	change(j)
	return nil
}

// job returns the job that the API would return. The caller holds c.mu.
func (c *Cloud) job(id int64) (*job, error) {
	j, ok := c.jobs[id]
	if !ok {
		return nil, fmt.Errorf("the cloud has no job %d", id)
	}
	if j.deleted {
		return nil, fmt.Errorf("job %d was deleted", id)
	}
	j.advance(c.options.Clock())
	return j, nil
}
