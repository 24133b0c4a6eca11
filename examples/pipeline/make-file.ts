import {existsSync, renameSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';

/** Makes a file of customers, once, as an old system might have kept them. Every ten thousandth line is broken. */
export function makeFile(folder: string, lines: number): string {
	const file = join(folder, `${lines}.ndjson`);
	if (existsSync(file)) return file;
	const text = Array.from({length: lines}, (_, index) => {
		const number = index + 1;
		if (number % 10_000 === 0) return `{"name": "Line ${number}`;
		const [first, last] = [FIRST[number % FIRST.length] as string, LAST[number % LAST.length] as string];
		return JSON.stringify({name: ` ${first}  ${last.toUpperCase()}`, email: `${first}.${last}.${number}@Example.com`, amount: (number / 8).toFixed(2)});
	});
	writeFileSync(`${file}.part`, `${text.join('\n')}\n`);
	renameSync(`${file}.part`, file);
	return file;
}

const FIRST = ['ana', 'JOÃO', 'zoë', 'Bjørn', 'María', 'søren', 'İpek'];
const LAST = ['García', 'ibsen', 'Öztürk', 'núñez', 'Schmidt'];
