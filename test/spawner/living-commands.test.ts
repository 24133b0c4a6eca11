import {chmodSync, linkSync, readFileSync, symlinkSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type {ExecutionContext} from 'ava';
import {endLivingCommands} from '../../lib/spawner/living-commands.ts';
import {test} from '../fixtures/engine.ts';
import {makeFolder} from '../fixtures/folder.ts';
import {areAlive, countAlive, endAll, makeToken} from '../fixtures/processes.ts';
import {Program} from '../fixtures/program.ts';

/** The list of a spawner that was killed while it started its second command, and the token of both commands. */
async function leaveCommands(t: ExecutionContext): Promise<{readonly list: string; readonly token: string; readonly listed: string}> {
	t.timeout(60_000);
	const [list, token] = [join(makeFolder(t), 'list'), makeToken()];
	t.teardown(() => endAll(token));
	const program = new Program(t, {name: 'lists-commands', under: ['setsid']}, list, token);
	const [listed = ''] = (await program.line()).split(' ');
	// Each command has three, and the program has the token, too.
	await areAlive(token, 7);
	await program.kill('SIGKILL');
	return {list, token, listed};
}

if (process.platform === 'linux') {
	test('the listed commands are killed, also without a mark, and one that was just being started', async t => {
		const {list, token} = await leaveCommands(t);
		t.true(await endLivingCommands(list));
		t.is(countAlive(token), 0);
		t.true(await endLivingCommands(list));
	});

	test('a process that has the pid of a listed command, and another birth, lives on', async t => {
		const {list, token, listed} = await leaveCommands(t);
		writeFileSync(
			list,
			readFileSync(list, 'utf8')
				.replace(new RegExp(`^${listed} \\d+`, 'm'), `${listed} 1`)
				.replace('starting', '        '),
		);
		t.true(await endLivingCommands(list));
		t.is(countAlive(token), 6);
	});

	const DAMAGES: Readonly<Record<string, (list: string) => string>> = {
		'is missing': list => `${list}-missing`,
		'comes from another system, or from before a restart': list => write(list, readFileSync(list, 'utf8').replace('"system":"', '"system":"x')),
		'is damaged': list => write(list, readFileSync(list, 'utf8').replace('{', '[')),
		'is empty': list => write(list, ''),
		'other users can write to': list => {
			chmodSync(list, 0o666);
			return list;
		},
		'is a link': list => {
			symlinkSync(list, `${list}-link`);
			return `${list}-link`;
		},
		'has another name': list => {
			linkSync(list, `${list}-name`);
			return list;
		},
	};
	for (const [state, damage] of Object.entries(DAMAGES)) {
		test(`a list that ${state} ends no process`, async t => {
			const {list, token} = await leaveCommands(t);
			t.true(await endLivingCommands(damage(list)));
			t.is(countAlive(token), 6);
		});
	}
}

function write(path: string, text: string): string {
	writeFileSync(path, text);
	return path;
}
