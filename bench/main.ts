/** Runs a plan, by default the quick one. `plan/options.ts` reads the options. */

import {compileSyncCounter} from './measure/sync-counter.ts';
import {optionsOf} from './plan/options.ts';
import {runPlan} from './plan/run-plan.ts';

const options = optionsOf('quick');
using compiled = compileSyncCounter();
const {counter} = compiled;
await runPlan({...options, ...(counter && {counter})});
