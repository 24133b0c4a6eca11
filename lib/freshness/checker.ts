import {existsSync} from 'node:fs';
import {argument, bad, nearest} from '../job/checks.ts';
import {decode, type Encoded} from '../job/encoding.ts';
import {unpack} from '../job/groups/packed.ts';
import {isTerminal, type JobStatus} from '../job/job.ts';
import {paths} from '../job/options.ts';
import {optionsOf, type TaskFunction} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {attributesOf, contentOf, misses, presenceOf} from './files.ts';
import {type Fingerprint, readFingerprint, writeFingerprint} from './fingerprint.ts';
import type {FilesSeen, FreshnessAnswer, FreshnessQuestion, Reason, Verdict} from './messages.ts';

/** Tells which items of a map are out of date: it compares the fingerprints of their jobs with files and code as they are now. */
export class FreshnessChecker {
	readonly #tasks: ReadonlyMap<string, TaskFunction>;
	readonly #codes: ReadonlyMap<string, string>;

	/** @param codes the code of each task */
	constructor(tasks: ReadonlyMap<string, TaskFunction>, codes: ReadonlyMap<string, string>) {
		this.#tasks = tasks;
		this.#codes = codes;
	}

	/** @throws FaenaError `UnknownTask`; `BadOption` if the files of an item are not known, or one is a folder */
	check(question: FreshnessQuestion): FreshnessAnswer {
		const {task, payloads} = question;
		const run = this.#tasks.get(task);
		if (!run) throw new FaenaError('UnknownTask', `The tasks module has no task ${JSON.stringify(task)}${nearest(task, [...this.#tasks.keys()])}`);
		const asked: Asked = {...question, ...pathsOf(question, run), code: this.#codes.get(task) as string};
		return {verdicts: unpack(payloads).map((payload, index) => judge(asked, index, payload)), ofTask: [optionsOf(run).fresh ?? []].flat()};
	}

	/** Indexes of those that are not as they were. */
	changed(all: readonly FilesSeen[]): number[] {
		return all.flatMap(({paths, attributes}, index) => (areAs(attributes, paths) ? [] : index));
	}
}

function areAs(attributes: string, paths: readonly string[]): boolean {
	try {
		return attributesOf(paths).text === attributes;
	} catch {
		return false;
	}
}

/** A question, with what is known of the task. */
interface Asked extends Pick<FreshnessQuestion, 'fresh' | 'retryFailed' | 'renewal' | 'known'> {
	/** Of the task's code, now. */
	readonly code: string;
	readonly filesOf: (payload: Encoded, index: number) => readonly string[];
	readonly outputsOf: (payload: Encoded) => readonly string[];
}

/** Where an item's files are named: by the map and by the task. */
function pathsOf({task, fresh, files}: FreshnessQuestion, run: TaskFunction): Pick<Asked, 'filesOf' | 'outputsOf'> {
	const {files: ofTask, outputs} = optionsOf(run);
	const named = (name: 'files' | 'outputs', of: (payload: never) => unknown) => (payload: Encoded) =>
		argument(`task ${task}`, `the value of ${name}()`, of(decode(payload) as never), paths);
	const outputsOf = outputs ? named('outputs', outputs) : () => [];
	const ofMap = files && ((_: Encoded, index: number) => files[index] as readonly string[]);
	const own = ofTask && named('files', ofTask);
	if (ofMap && own) return {filesOf: (payload, index) => [...ofMap(payload, index), ...own(payload)], outputsOf};
	const filesOf = ofMap ?? own;
	if (filesOf) return {filesOf, outputsOf};
	if (!fresh.includes('content')) return {filesOf: () => [], outputsOf};
	throw bad(
		`map() with fresh: 'content' expects the option files of the task ${task} or of the map: a function that names the files of an item, for instance {files: item => [item.path]}`,
	);
}

function judge(asked: Asked, index: number, payload: Encoded): Verdict {
	const status = asked.known?.statuses[index] ?? null;
	const before = readFingerprint(asked.known?.fingerprints[index] ?? null);
	const {files, now} = lookAt(asked, index, payload, before);
	// What a running job reads is not known, and it can't be run again now: the next map will see that its content has changed.
	if (status === 'running') return {reason: 'unfinished', files};
	const fingerprint = writeFingerprint(now);
	if (status === null) return {reason: 'new', fingerprint, files};
	const isChanged = before?.content !== now.content;
	const isTouched = before?.attributes !== now.attributes;
	// A new round also forgets a checkpoint, which belongs to the old content. What is noted already is not written again: the job may end meanwhile.
	const isNoted = !isChanged && !isTouched && before.renewal === now.renewal;
	if (!isTerminal(status)) return {reason: 'unfinished', isOutdated: isChanged, ...(!isNoted && {fingerprint}), files};
	const reason = reasonOf(asked, payload, status, before, isChanged);
	// A disk that is not mounted must not cost results: the task would fail, and the result be gone.
	if (reason && status === 'completed' && isChanged && before && misses(files.attributes, before.attributes)) return {reason: null, kept: 'absent'};
	if (reason) return {reason, isOutdated: reason !== 'failed', fingerprint, files};
	const kept = status === 'completed' && before?.code !== now.code ? 'byOtherCode' : undefined;
	// A file was written again with the same content, or its time has become certain. Other content stays unnoted: a later map may ask for it.
	return {reason: null, kept, ...(before && isTouched && !isChanged && {fingerprint: writeFingerprint({...before, attributes: now.attributes})})};
}

/** The files of an item, and the fingerprint that its job gets if it runs now. */
function lookAt({code, renewal, filesOf}: Asked, index: number, payload: Encoded, before?: Fingerprint) {
	const paths = filesOf(payload, index);
	const {text, areCertain} = attributesOf(paths);
	const attributes = areCertain ? text : presenceOf(text);
	const isSame = before !== undefined && areCertain && attributes === before.attributes;
	return {files: {paths, attributes: text}, now: {code, content: isSame ? before.content : contentOf(paths), attributes, renewal}};
}

/** Why a job that has ended runs again. */
function reasonOf(asked: Asked, payload: Encoded, status: JobStatus, before: Fingerprint | undefined, isChanged: boolean): Reason | null {
	const {fresh, retryFailed, renewal, code, outputsOf} = asked;
	const isRenewed = renewal !== undefined && before?.renewal === renewal;
	if (fresh.includes('all') && !isRenewed) return 'all';
	if (fresh.includes('content') && isChanged) return 'content';
	if (fresh.includes('code') && before?.code !== code) return 'code';
	if (status !== 'completed') return retryFailed ? 'failed' : null;
	// A map that compares payloads only, as with `--fresh never`, takes the results as they are.
	const isCompared = fresh.some(each => each !== 'payload');
	return isCompared && outputsOf(payload).some(path => !existsSync(path)) ? 'outputs' : null;
}
