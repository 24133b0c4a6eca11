/** Measures one trial with one subject in this process: `node bench/one.ts TRIAL SUBJECT WORKERS ROUNDS FOLDER`. */
import type {Subject} from './subjects/subject.ts';
import {type Measurement, type SubjectName, TRIALS} from './trials.ts';

const [name, subject, workers, rounds, folder] = process.argv.slice(2) as [string, SubjectName, string, string, string];
const trial = TRIALS.find(each => each.name === name);
if (!trial?.subjects.includes(subject)) throw new Error(`There is no trial ${name} for ${subject}.`);

const {run} = (await import(`./subjects/${subject}.ts`)) as Subject;
const result = await run(trial, {workers: Number(workers), rounds: Number(rounds), folder});
process.stdout.write(`${JSON.stringify({trial: name, subject, jobs: trial.jobs, ...result} satisfies Measurement)}\n`);
