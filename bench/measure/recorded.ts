/** Completed jobs of a Faena database: the result and the number of its execution, of those in rows of their own and of those in runs. */
export const RECORDED = `(
	select value, execution from outcome where status = 6
	union all select each.value, 1 from outcome_run, json_each('[' || replace(results, char(10), ',') || ']') each)`;

/** Payloads of all jobs, those with rows of their own and those that share one. */
export const PAYLOADS = `(
	select payload from job
	union all select each.value from job_run, json_each('[' || replace(payloads, char(10), ',') || ']') each)`;
