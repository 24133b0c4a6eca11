/** Query for the completed jobs of a Faena database, in rows of their own and in runs: the result and the number of its execution. */
export const RECORDED = `(
	select value, execution from outcome where status = 6
	union all select each.value, 1 from outcome_run, json_each('[' || replace(results, char(10), ',') || ']') each)`;

/** Query for the payloads of all jobs, in rows of their own and in runs. */
export const PAYLOADS = `(
	select payload from job
	union all select each.value from job_run, json_each('[' || replace(payloads, char(10), ',') || ']') each)`;
