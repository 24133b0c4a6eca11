import type {Durability} from '../../lib/job/job.ts';

/** Opens an engine, calls once and sends how long that took: `first-call.ts FILE CASE`. The imports are dynamic, so that they are measured. */
const firstLineMs = performance.now();
const {open} = await import('../../lib/index.ts');
const importedMs = performance.now();

import type {Tasks} from '../measure/engine.ts';
import {moduleUrl} from '../measure/module-url.ts';
import type {Case} from '../plan/suite.ts';
import type {Phases} from './start.ts';

const [queue = '', text = ''] = process.argv.slice(2);
const {workers, durability} = JSON.parse(text) as Case & {readonly durability: Durability};
const faena = await open<Tasks>({queue, tasks: moduleUrl('measure/tasks'), workers, durability});
const openedMs = performance.now();
await faena.call('identity', 1);
const calledMs = performance.now();
process.send?.({importMs: importedMs - firstLineMs, openMs: openedMs - importedMs, callMs: calledMs - openedMs} satisfies Phases);
await faena.close();
