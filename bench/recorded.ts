/** Completed jobs of a Faena database: the result and the number of its execution, of those in rows of their own and of those in runs. */
export const RECORDED = `(
	select value, execution from outcome where status = 6
	union all select each.value, 1 from outcome_run, json_each('[' || replace(results, char(10), ',') || ']') each)`;
