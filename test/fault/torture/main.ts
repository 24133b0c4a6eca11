/**
 * `npm run torture -- --kills 10000 --seed 1 [--endings SIGKILL,SIGSTOP] [--slots 8] [--results FILE]`: campaigns of fifty kills each, one
 * seed after the other, as many at a time as there are processors. A line of JSON for each is appended to the results; after
 * a broken law no other begins, and what it was found in stays where the last line says.
 */
import {mkdtempSync, rmSync} from 'node:fs';
import {availableParallelism, tmpdir} from 'node:os';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {choice} from '../../../lib/job/checks.ts';
import {between, pick, seeded} from '../../fixtures/random.ts';
import {keep} from '../results.ts';
import {type Campaign, ENDINGS, type Ending, type Evidence, run} from './campaign.ts';
import {DRAIN_MS, GRACE_MS} from './history.ts';
import {judge, overtaken} from './verdict.ts';

const {values} = parseArgs({
	options: {
		kills: {type: 'string', default: '100'},
		seed: {type: 'string', default: String(Date.now() % 2 ** 31)},
		endings: {type: 'string', default: 'SIGKILL'},
		slots: {type: 'string'},
		results: {type: 'string', default: 'torture.jsonl'},
	},
});
const PER_CAMPAIGN = 50;

const endings = values.endings.split(',').map(toEnding);
const folder = mkdtempSync(join(tmpdir(), 'faena-torture-'));
let left = Number(values.kills);
let seed = Number(values.seed);
await Promise.all(Array.from({length: availableParallelism()}, goOn));
if (process.exitCode === undefined) rmSync(folder, {recursive: true});

async function goOn(): Promise<void> {
	while (left > 0 && process.exitCode === undefined) {
		const campaign = planOf(seed++, Math.min(left, PER_CAMPAIGN), endings);
		left -= campaign.kills;
		await hold(campaign);
	}
}

async function hold(campaign: Campaign): Promise<void> {
	const own = mkdtempSync(join(folder, `${campaign.seed}-`));
	const begunAt = performance.now();
	const evidence = await run(campaign, own);
	const broken = judge(evidence);
	keep(values.results, {...campaign, seconds: Math.round((performance.now() - begunAt) / 1000), ...figuresOf(evidence), broken});
	if (broken.length === 0) return rmSync(own, {recursive: true});
	console.error(
		`${broken.join('\n')}\nSee ${own}\nAgain: npm run torture -- --kills ${campaign.kills} --seed ${campaign.seed} --endings ${values.endings}${values.slots === undefined ? '' : ` --slots ${values.slots}`}`,
	);
	process.exitCode = 1;
}

function toEnding(text: string): Ending {
	return choice(...ENDINGS)(text) as Ending;
}

/** Kinds of campaigns, by chance. */
function planOf(seed: number, kills: number, endings: readonly Ending[]): Campaign {
	const random = seeded(seed);
	return {
		seed,
		kills,
		endings,
		slots: values.slots === undefined ? between(random, endings.includes('SIGSTOP') ? 2 : 1, 3) : Number(values.slots),
		isolation: pick(random, ['thread', 'thread', 'process'] as const),
		cleans: random() < 0.3,
	};
}

function figuresOf({told, steps, lives}: Evidence) {
	const count = <Item>(items: readonly Item[], is: (item: Item) => boolean) => items.filter(is).length;
	return {
		acknowledged: told.reduce((sum, each) => sum + (each.what === 'enqueued' ? each.ids.length : 0), 0),
		executions: count(steps, ({step}) => step === 'start'),
		interrupted: new Set(steps.map(({id, execution}) => `${id} ${execution}`)).size - count(steps, ({step}) => step !== 'start'),
		items: count(told, ({what}) => what === 'item'),
		/** Jobs whose commands were looked for once they were told to have been stopped. */
		commands: count(told, ({what}) => what === 'stopped'),
		failpoints: Object.fromEntries(
			[
				...Map.groupBy(
					lives.filter(({hitFailpoint}) => hitFailpoint),
					({by}) => by,
				),
			].map(([by, all]) => [by, all.length]),
		),
		longestOrphanMs: Math.round(Math.max(...lives.map(({orphanedMs}) => orphanedMs))),
		/** Later than a second after what it may wait for. */
		diedLate: count(lives, ({by, dyingMs}) => (by === 'SIGTERM' || by === 'SIGINT') && dyingMs > DRAIN_MS + GRACE_MS + 1000),
		mostOvertaken: Math.max(0, ...overtaken({told, lives}).map(({by}) => by)),
		longestDeathMs: Math.round(Math.max(0, ...lives.map(({by, dyingMs}) => (by === 'close' ? 0 : dyingMs)))),
	};
}
