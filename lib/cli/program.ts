import {createRequire} from 'node:module';
import {Command} from 'commander';
import {addBatches} from './batches.ts';
import {addCancel} from './cancel.ts';
import {explain} from './explain.ts';
import {addMap} from './map.ts';
import {addRetry} from './retry.ts';
import {addShow} from './show.ts';
import {addStatus} from './status.ts';

// The package names itself, since this file lies at two depths: beside the sources and in dist.
const {version} = createRequire(import.meta.url)('faena/package.json') as {version: string};

const program = new Command('faena')
	.description('Durable parallel execution of CPU-bound work: kill it at any moment, start it again, and it goes on where it stood.')
	.version(version)
	.exitOverride()
	.configureOutput({outputError: (text, write) => write(text.replace(/^error: /, 'faena: ').replace('\n(', ' ('))});
addMap(program);
addStatus(program);
addBatches(program);
addShow(program);
addCancel(program);
addRetry(program);

// The summary is of no use to a reader that has gone, and no reason to fail. Whoever writes on stdout looks at what comes of it.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
try {
	await program.parseAsync();
} catch (error) {
	process.exitCode = explain(error);
}
