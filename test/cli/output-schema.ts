/** Checks what the command prints as JSON against docs/output.schema.json. */
import {readFileSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {Ajv2020, type ValidateFunction} from 'ajv/dist/2020.js';

const schema = JSON.parse(readFileSync(fileURLToPath(new URL('../../docs/output.schema.json', import.meta.url)), 'utf8')) as {readonly $defs: object};
const ajv = new Ajv2020({allErrors: true, allowUnionTypes: true, formats: {'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/}}).addSchema(
	schema,
	'output',
);

/** The names of the schemas against which something was checked. */
export const used = new Set<string>();

/** The schema of what the command prints, line by line; `undefined` if it prints no JSON. */
export function schemaOf([command = '', ...words]: readonly string[]): string | undefined {
	if (words.includes('--help')) return undefined;
	const isJson = words.includes('--json');
	if (command === 'map') {
		if (words.includes('--sh') || words.includes('--raw')) return isJson && !words.includes('--dry-run') ? 'map' : undefined;
		return words.includes('--dry-run') ? 'dry-run' : 'map';
	}
	if (!isJson) return undefined;
	if (command === 'status') return 'status-report';
	return command === 'schedule' ? 'schedule-show' : command;
}

/** @throws Error with the first line that does not fit */
export function checkOutput(args: readonly string[], stdout: string): void {
	const name = schemaOf(args);
	if (name === undefined) return;
	const isValid = ajv.getSchema(`output#/$defs/${name}`) as ValidateFunction | undefined;
	if (!isValid) throw new Error(`docs/output.schema.json has nothing for faena ${args.join(' ')}`);
	for (const line of stdout.split('\n').slice(0, -1)) {
		used.add(name);
		if (!isValid(JSON.parse(line)))
			throw new Error(
				`faena ${args.join(' ')} printed what ${name} of docs/output.schema.json does not allow: ${ajv.errorsText(isValid.errors)}\n${line.slice(0, 2000)}`,
			);
	}
}
