import {existsSync} from 'node:fs';
import {argument, bad, nearest} from '../job/checks.ts';
import {decode, type Encoded} from '../job/encoding.ts';
import {unpack} from '../job/groups/packed.ts';
import {isTerminal, type JobStatus} from '../job/job.ts';
import {listOfTexts} from '../job/options.ts';
import {optionsOf} from '../job/task/make-task.ts';
import type {Fresh, TaskFunction} from '../job/task/task.ts';
import {FaenaError} from '../support/errors.ts';
import {areAs, contentOf, type FilesSeen, lookAt, misses, presenceOf} from './files.ts';
import {type Fingerprint, readFingerprint, writeFingerprint} from './fingerprint.ts';
import type {FreshnessCalls, FreshnessQuestion, Reason, Verdict} from './messages.ts';

/** Tells which items of a map are out of date: it compares the fingerprints of their jobs with files and code as they are now. */
export class FreshnessChecker implements FreshnessCalls {
	readonly #tasks: ReadonlyMap<string, TaskFunction>;
	readonly #codes: ReadonlyMap<string, string>;

	/** @param codes the code of each task */
	constructor(tasks: ReadonlyMap<string, TaskFunction>, codes: ReadonlyMap<string, string>) {
		this.#tasks = tasks;
		this.#codes = codes;
	}

	/** @throws FaenaError `UnknownTask` */
	ofTask(task: string): readonly Fresh[] {
		return [this.#optionsOf(task).fresh ?? []].flat();
	}

	/** @throws FaenaError `UnknownTask`; `BadOption` if the files of an item are not known, or one is a folder */
	check(question: FreshnessQuestion): Verdict[] {
		const {task, fresh, files, payloads} = question;
		const options = this.#optionsOf(task);
		if (fresh.includes('content') && !options.files && !files) {
			throw bad(
				`map() with fresh: 'content' expects the option files of the task ${task} or of the map: a function that names the files of an item, for instance {files: item => [item.path]}`,
			);
		}
		const namedBy = (name: 'files' | 'outputs', payload: Encoded) => {
			const of = options[name];
			return of ? argument(`task ${task}`, `the value of ${name}()`, of(decode(payload) as never), listOfTexts) : [];
		};
		const asked: Asked = {...question, code: this.#codes.get(task) as string, namedBy};
		return unpack(payloads).map((payload, index) => judge(asked, index, payload));
	}

	changed(files: readonly FilesSeen[]): number[] {
		return files.flatMap((each, index) => (areAs(each) ? [] : index));
	}

	#optionsOf(task: string) {
		const run = this.#tasks.get(task);
		if (!run) throw new FaenaError('UnknownTask', `The tasks module has no task ${JSON.stringify(task)}${nearest(task, [...this.#tasks.keys()])}`);
		return optionsOf(run);
	}
}

/** A question, with what is known of the task. */
interface Asked extends FreshnessQuestion {
	/** Of the task's code, now. */
	readonly code: string;
	/** The paths that an option of the task names for an item. */
	readonly namedBy: (name: 'files' | 'outputs', payload: Encoded) => readonly string[];
}

function judge(asked: Asked, index: number, payload: Encoded): Verdict {
	const status = asked.known?.statuses[index] ?? null;
	const files = lookAt([...(asked.files?.[index] ?? []), ...asked.namedBy('files', payload)]);
	// What a running job reads is not known, and it can't be run again now: the next map will see that its content has changed.
	if (status === 'running') return {reason: 'unfinished', files};
	const before = readFingerprint(asked.known?.fingerprints[index] ?? null);
	const now = fingerprintOf(asked, files, before);
	const fingerprint = writeFingerprint(now);
	if (status === null) return {reason: 'new', fingerprint, files};
	const isChanged = before?.content !== now.content;
	const isTouched = before?.attributes !== now.attributes;
	if (!isTerminal(status)) {
		// A new round also forgets a checkpoint, which belongs to the old content. What is noted already is not written again: the job may end meanwhile.
		const isNoted = !isChanged && !isTouched && before.renewal === now.renewal;
		return {reason: 'unfinished', isOutdated: isChanged, ...(!isNoted && {fingerprint}), files};
	}
	const reason = reasonOf(asked, payload, status, before, isChanged);
	// A disk that is not mounted must not cost results: the task would fail, and the result be gone.
	if (reason && status === 'completed' && isChanged && before && misses(files.attributes, before.attributes)) return {reason: null, kept: 'absent'};
	if (reason) return {reason, isOutdated: reason !== 'failed', fingerprint, files};
	const kept = status === 'completed' && before?.code !== now.code ? 'byOtherCode' : undefined;
	// A file was written again with the same content, or its time has become certain. Other content stays unnoted: a later map may ask for it.
	return {reason: null, kept, ...(before && isTouched && !isChanged && {fingerprint: writeFingerprint({...before, attributes: now.attributes})})};
}

/** The fingerprint that a job gets if it runs now. Files with the attributes that they had are not read. */
function fingerprintOf({code, renewal}: Asked, {paths, attributes, areCertain}: FilesSeen, before: Fingerprint | undefined): Fingerprint {
	if (before && areCertain && attributes === before.attributes) return {...before, code, renewal};
	return {code, content: contentOf(paths), attributes: areCertain ? attributes : presenceOf(attributes), renewal};
}

/** Why a job that has ended runs again. */
function reasonOf(asked: Asked, payload: Encoded, status: JobStatus, before: Fingerprint | undefined, isChanged: boolean): Reason | null {
	const {fresh, retryFailed, renewal, code, namedBy} = asked;
	const isRenewed = renewal !== undefined && before?.renewal === renewal;
	if (fresh.includes('all') && !isRenewed) return 'all';
	if (fresh.includes('content') && isChanged) return 'content';
	if (fresh.includes('code') && before?.code !== code) return 'code';
	if (status !== 'completed') return retryFailed ? 'failed' : null;
	// A map that compares payloads only, as with `--fresh never`, takes the results as they are.
	const isCompared = fresh.some(each => each !== 'payload');
	return isCompared && namedBy('outputs', payload).some(path => !existsSync(path)) ? 'outputs' : null;
}
