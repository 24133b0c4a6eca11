/** Query for the completed jobs of a Faena database, in rows of their own and in runs: the result and the number of its execution. */
export const RECORDED = `(
	select value, execution from outcome where status = 6
	union all select each.value, 1 from outcome_run, json_each('[' || replace(results, char(10), ',') || ']') each)`;
