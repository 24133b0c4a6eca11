/**
 * The files of `npm run test:quick`: units, the contract of stores, a short simulation, and some whole engines. Left out are the
 * contract of pools (which waits much), child processes, damaged and foreign files, most tests of whole engines, the model of a queue,
 * the command, examples, benchmark, package and documents, and all tests of faults.
 */
export const QUICK: {readonly files: readonly string[]; readonly env: Readonly<Record<string, string>>} = {
	files: [
		'test/{errors,layers}.test.ts',
		'test/{job,worker,dispatcher,transport,simulation}/*.test.ts',
		'!test/job/options-by-property.test.ts',
		'!test/worker/spoiled-runner.test.ts',
		'test/store/*.test.ts',
		'!test/store/{blobs,hostile,one-library,read-only,trusted-files,upgrade}.test.ts',
		'test/fault/laws.test.ts',
		'test/pool/{worker-pool,worker-reports,memory}.test.ts',
		'test/pool/{chunk-outcomes,in-flight,in-flight-outcomes,lost-chunk,mixed-pool-choice,shapes,sharing,slots,stack-snapshot,stopping,worker-lifecycle,worker-pool-by-hand}.test.ts',
		'test/api/*.test.ts',
		'!test/api/{bad-input,work,work-setbacks}.test.ts',
		'test/engine/{enqueue,cancel,retry,keys}.test.ts',
		'test/cli/{exit-codes,bar}.test.ts',
	],
	env: {FAENA_EVENTS: '20000'},
};

/**
 * Left to the nightly run: tests that start hundreds of programs and engines, and are the last to find what is wrong with one. Of what they test, `npm test`
 * has the stores, the pool of threads, engines, `faena map` and the states of jobs.
 */
export const LONG: readonly string[] = [
	'test/pages.test.ts',
	'test/typescripts.test.ts',
	'test/building.test.ts',
	'test/api/bad-input.test.ts',
	'test/examples/{http-server,ndjson,pipeline,precompress,queens,three-workers,thumbnails}.test.ts',
	'test/bench/{compare,trials}.test.ts',
	// Two entries, since a night cuts the list into parts by its entries, and these take longer than a part may.
	'test/cli/{all-run-pairs,backup,bench,cleanup-and-delete,commands,fresh,list,looking,map-again}.test.ts',
	'test/cli/{move,postgres,retry,screen,show,template,vacuum,whose,work}.test.ts',
	'test/cli/inputs.test.ts',
	'test/cli/kills.test.ts',
	'test/cli/parallel.test.ts',
	'test/spawner/exec.test.ts',
	'test/spawner/spawner.test.ts',
	'test/engine/descendants.test.ts',
	'test/engine/{isolation,map-fresh,map-sources,post-mortem,process,quarantine,spoilers}.test.ts',
	'test/fault/{bad-jobs,faults,power-loss-control,soak,torture}.test.ts',
	'test/job/options-by-property.test.ts',
	'test/pairs/{command-line,killed,workers}.test.ts',
	'test/pool/{mixed-pool,process-descendants,processes,thread-descendants}.test.ts',
	'test/support/node-args.test.ts',
	// The laws of all stores are those of `sqlite` and `postgres`. The model has them at night.
	'test/store/{blobs,lost-answers,many-stores,memory,postgres-upgrade,sqlite-in-memory}.test.ts',
	'test/worker/spoiled-runner.test.ts',
];

/** The files of `npm test`. */
export const ALL_BUT_LONG: readonly string[] = ['test/**/*.test.ts', ...LONG.map(file => `!${file}`)];
