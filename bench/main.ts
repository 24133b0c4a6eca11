/** Runs a plan, by default the quick one; the options are in `options.ts`. */
import {optionsOf} from './options.ts';
import {runPlan} from './run-plan.ts';
import {compileSyncCounter} from './sync-counter.ts';

const options = optionsOf('quick');
using counter = compileSyncCounter();
await runPlan({...options, ...(counter.library && {counter: {library: counter.library, file: counter.file as string}})});
