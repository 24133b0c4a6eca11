/** Runs a plan, by default the quick one; the options are in `options.ts`. */

import {compileSyncCounter} from './measure/sync-counter.ts';
import {optionsOf} from './plan/options.ts';
import {runPlan} from './plan/run-plan.ts';

const options = optionsOf('quick');
using counter = compileSyncCounter();
await runPlan({...options, ...(counter.library && {counter: {library: counter.library, file: counter.file as string}})});
