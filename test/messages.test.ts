import test from 'ava';
import {allMessages, messagesOf} from '../docs/messages.ts';

test('npm run messages lists each message with its line and its code; values are names, texts of constants and functions are filled in', t => {
	const source = `import {FaenaError} from './errors.ts';
const ADVICE = 'Restore it from a backup.';
function refuse(path: string, size: number): never {
	const message = \`\${path} is damaged. \${ADVICE}\`;
	if (size > 1) throw new FaenaError('BadDatabase', message, {cause: size});
	throw new FaenaError('Closed', \`\${nounOf(size)} of \${JSON.stringify(path)} \${size === 0 ? 'was' : 'were'} closed\${size ? \` after \${size} s\` : ''}.\`);
}
function nounOf(size: number): string {
	return size === 1 ? 'The only owner' : 'Each owner';
}
bad('queue expects a path');
db.prepare('select this from that');
const TABLE = [[/BUSY/, 'PATH was locked by another program.', 'DatabaseBusy']];
log({message: \`only a value: \${TABLE}\`, name: 'Cancelled'});`;
	t.deepEqual(messagesOf(source), [
		{line: 5, code: 'BadDatabase', text: '{path} is damaged. Restore it from a backup.'},
		{line: 6, code: 'Closed', text: '[The only owner | Each owner] of {path} [was | were] closed[ after {size} s].'},
		{line: 11, code: 'BadOption', text: 'queue expects a path'},
		{line: 13, code: 'DatabaseBusy', text: 'PATH was locked by another program.'},
		{line: 14, code: 'Cancelled', text: 'only a value: {TABLE}'},
	]);
});

test('the messages of errors are whole sentences', t => {
	const messages = [...allMessages()].flatMap(([path, each]) => each.map(message => ({path, ...message})));
	t.true(messages.length > 250);
	const ofErrors = messages.filter(({code}) => /^[A-Z]\w+[A-Z]/.test(code) && code !== 'BadOption');
	t.true(ofErrors.length > 60);
	t.deepEqual(
		ofErrors.filter(({text}) => !/^[A-Z{[]/.test(text) || !/[.!?\]}]$/.test(text)),
		[],
	);
});
