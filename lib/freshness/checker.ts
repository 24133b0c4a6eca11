import {existsSync} from 'node:fs';
import {argument, bad, nearest} from '../job/checks.ts';
import {decode, type Encoded} from '../job/encoding.ts';
import {isTerminal, type JobStatus} from '../job/job.ts';
import {paths} from '../job/options.ts';
import {unpack} from '../job/packed.ts';
import {optionsOf, type TaskFunction} from '../job/task.ts';
import {FaenaError} from '../support/errors.ts';
import {type Attributes, attributesOf, contentOf, hashOf, misses, presenceOf} from './files.ts';
import {type Fingerprint, readFingerprint, writeFingerprint} from './fingerprint.ts';
import type {FilesSeen, FreshnessAnswer, FreshnessQuestion, Reason} from './messages.ts';

/** Tells which items of a map are out of date: it compares the fingerprints of their jobs with files and code as they are now. */
export class FreshnessChecker {
	readonly #tasks: ReadonlyMap<string, TaskFunction>;
	readonly #code: string;

	/** @param code a hash of the tasks module and its imports, for tasks that have no `version` */
	constructor(tasks: ReadonlyMap<string, TaskFunction>, code: string) {
		this.#tasks = tasks;
		this.#code = hashOf(code);
	}

	/** @throws FaenaError `UnknownTask`; `BadOption` if the files of an item are not known, or one is a folder */
	check(question: FreshnessQuestion): FreshnessAnswer {
		const {task, known} = question;
		const run = this.#tasks.get(task);
		if (!run) throw new FaenaError('UnknownTask', `The tasks module has no task ${JSON.stringify(task)}${nearest(task, [...this.#tasks.keys()])}`);
		const {version} = optionsOf(run);
		const asked: Asked = {...question, ...pathsOf(question, run), code: version === undefined ? this.#code : hashOf(`version ${version}`)};
		const items = unpack(question.payloads).map((payload, index) =>
			checkItem(asked, index, {
				payload,
				status: known?.statuses[index] ?? null,
				before: readFingerprint(known?.fingerprints[index] ?? null),
			}),
		);
		const indexesOf = (has: (item: CheckedItem) => boolean) => items.flatMap((item, index) => (has(item) ? index : []));
		return {
			fingerprints: items.map(({fingerprint}) => (fingerprint ? writeFingerprint(fingerprint) : null)),
			reasons: items.map(({reason}) => reason),
			outdated: indexesOf(({isOutdated}) => isOutdated),
			byOtherCode: indexesOf(({isByOtherCode}) => isByOtherCode),
			absent: indexesOf(({isAbsent}) => isAbsent === true),
			ofTask: [optionsOf(run).fresh ?? []].flat(),
			files: items.map(({reason, files}) => (reason ? (files ?? null) : null)),
		};
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
interface Asked extends Pick<FreshnessQuestion, 'fresh' | 'retryFailed'> {
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

/** What is known of an item. */
interface KnownItem {
	readonly payload: Encoded;
	/** Of its job; `null` if it has none. */
	readonly status: JobStatus | null;
	/** The fingerprint of its job. */
	readonly before: Fingerprint | undefined;
}

interface CheckedItem {
	/** To be stored. */
	readonly fingerprint?: Fingerprint;
	/** The files, if there are some. */
	readonly files?: FilesSeen;
	readonly reason: Reason | null;
	readonly isOutdated: boolean;
	readonly isByOtherCode: boolean;
	/** A file is absent that was there. */
	readonly isAbsent?: true;
}

function checkItem(asked: Asked, index: number, {payload, status, before}: KnownItem): CheckedItem {
	const paths = asked.filesOf(payload, index);
	const seen = attributesOf(paths);
	const files = {...(paths.length > 0 && {files: {paths, attributes: seen.text}})};
	return {...files, ...compare(asked, {payload, status, before}, seen, paths)};
}

function compare(asked: Asked, {payload, status, before}: KnownItem, {text, areCertain}: Attributes, paths: readonly string[]): CheckedItem {
	const attributes = areCertain ? text : presenceOf(text);
	const areSame = before !== undefined && areCertain && attributes === before.attributes;
	const now: Fingerprint = {code: asked.code, content: areSame ? before.content : contentOf(paths), attributes};
	const isChanged = before?.content !== now.content;
	if (status === null) return {fingerprint: now, reason: 'new', isOutdated: false, isByOtherCode: false};
	// What a running job reads is not known, and it can't be run again now: the next map will see that its content has changed.
	if (status === 'running') return {reason: 'unfinished', isOutdated: false, isByOtherCode: false};
	// A new round also forgets a checkpoint, which belongs to the old content.
	if (!isTerminal(status)) return {fingerprint: now, reason: 'unfinished', isOutdated: isChanged, isByOtherCode: false};
	const reason = reasonOf(asked, {status, isChanged, isOtherCode: before?.code !== now.code, areOutputsGone: () => areGone(asked.outputsOf(payload))});
	// A disk that is not mounted must not cost results: the task would fail, and the result be gone.
	if (reason && status === 'completed' && isChanged && before && misses(text, before.attributes))
		return {reason: null, isOutdated: false, isByOtherCode: false, isAbsent: true};
	if (reason) return {fingerprint: now, reason, isOutdated: reason !== 'failed', isByOtherCode: false};
	const isByOtherCode = status === 'completed' && before?.code !== now.code;
	// A file was written again with the same content, or its time has become certain. Other content stays unnoted: a later map may ask for it.
	const isTouched = before !== undefined && !isChanged && attributes !== before.attributes;
	return {...(isTouched && {fingerprint: {...before, attributes}}), reason: null, isOutdated: false, isByOtherCode};
}

interface Facts {
	readonly status: JobStatus;
	readonly isChanged: boolean;
	readonly isOtherCode: boolean;
	readonly areOutputsGone: () => boolean;
}

/** Why a job that has ended runs again. */
function reasonOf({fresh, retryFailed}: Asked, {status, isChanged, isOtherCode, areOutputsGone}: Facts): Reason | null {
	if (fresh.includes('all')) return 'all';
	if (fresh.includes('content') && isChanged) return 'content';
	if (fresh.includes('code') && isOtherCode) return 'code';
	if (status !== 'completed') return retryFailed ? 'failed' : null;
	// A map that compares payloads only, as with `--fresh never`, takes the results as they are.
	const isCompared = fresh.some(each => each !== 'payload');
	return isCompared && areOutputsGone() ? 'outputs' : null;
}

function areGone(outputs: readonly string[]): boolean {
	return outputs.some(path => !existsSync(path));
}
