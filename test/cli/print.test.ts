import test from 'ava';
import {Folder, tasks} from './command.ts';

const COMMANDS = [['status'], ['status', '--json'], ['batches'], ['show', '1'], ['cancel', '1'], ['retry', '1'], ['--help']];

test('a command whose reader has gone prints no error', async t => {
	const folder = new Folder(t);
	await folder.faena('map', tasks('traces-executions', 'echo'), '--stdin').end('one');
	for (const args of COMMANDS) {
		const program = folder.faena(...args);
		program.child.stdout.destroy();
		const {code, stderr} = await program.end();
		t.is(stderr, '', args.join(' '));
		t.is(code, args[0] === '--help' ? 0 : 141);
	}
});
