/** Installs the peers and starts their servers, if needed, and runs a plan with them: `npm run bench:peers`. */

import type {NotRun} from '../analyse/run.ts';
import {compileSyncCounter} from '../measure/sync-counter.ts';
import {optionsOf} from '../plan/options.ts';
import {runPlan} from '../plan/run-plan.ts';
import type {Case} from '../plan/suite.ts';
import {PEERS} from '../subjects/index.ts';
import {installPeers} from './install.ts';
import {serverOf, startServers} from './servers/servers.ts';

const options = optionsOf('peers');
using compiled = compileSyncCounter();
const {counter} = compiled;
const notInstalled = await installPeers();
const names = [...new Set(options.cases.map(serverOf))].filter(name => name !== undefined);
const servers = await startServers(notInstalled ? [] : names, options.folder, counter);
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void stopEarly());
try {
	const reasons = options.cases.map(each => [each, whyNot(each)] as const);
	await runPlan({
		...options,
		...(counter && {counter}),
		cases: reasons.filter(([, reason]) => reason === undefined).map(([each]) => each),
		notRun: distinct(reasons.flatMap(([{subject}, reason]) => (reason === undefined ? [] : [{subject, reason}]))),
		serversOf(given) {
			const name = serverOf(given);
			return name && {[name]: servers.running[name] as (typeof servers.running)[string]};
		},
	});
} finally {
	await servers.stop();
}

/** On Ctrl-C the terminal also sends the signal to the servers. Then this only waits until they have ended. */
async function stopEarly(): Promise<never> {
	await servers.stop();
	compiled[Symbol.dispose]();
	process.exit(1);
}

function whyNot(given: Case): string | undefined {
	if (PEERS.some(peer => peer === given.subject) && notInstalled) return notInstalled;
	const name = serverOf(given);
	return name && servers.failed[name];
}

function distinct(list: readonly NotRun[]): NotRun[] {
	return [...new Map(list.map(each => [`${each.subject} ${each.reason}`, each])).values()];
}
