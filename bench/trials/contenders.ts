import {fork} from 'node:child_process';
import {fileURLToPath} from 'node:url';
import {Worker} from 'node:worker_threads';
import {moduleUrl} from '../measure/module-url.ts';
import type {Contention, Round, Taken} from './contention-round.ts';

/** A process or a thread that claims jobs. */
interface Contender {
	send(round: Round): void;
	/** Its next message. */
	answer(): Promise<unknown>;
	end(): Promise<void>;
}

/** The processes or threads that claim from a store together. */
export class Contenders {
	readonly #all: readonly Contender[];

	/** @param threads true for threads of this process, false for processes */
	static async start(contention: Contention, count: number, threads: boolean): Promise<Contenders> {
		const contenders = new Contenders(Array.from({length: count}, () => (threads ? inThread(contention) : inProcess(contention))));
		await Promise.all(contenders.#all.map(contender => contender.answer()));
		return contenders;
	}

	private constructor(all: readonly Contender[]) {
		this.#all = all;
	}

	async take(round: Round): Promise<readonly Taken[]> {
		const answers = this.#all.map(contender => contender.answer());
		for (const contender of this.#all) contender.send(round);
		return (await Promise.all(answers)) as Taken[];
	}

	async end(): Promise<void> {
		await Promise.all(this.#all.map(contender => contender.end()));
	}
}

function inProcess(contention: Contention): Contender {
	const child = fork(fileURLToPath(moduleUrl('trials/contender')), [JSON.stringify(contention)], {serialization: 'advanced'});
	const ended = new Promise<void>(resolve => child.once('exit', () => resolve()));
	return {
		send: round => void child.send(round),
		answer: () =>
			new Promise((resolve, reject) => {
				const onExit = (code: number | null) => reject(new Error(`A contender ended with ${code}`));
				child.once('exit', onExit);
				child.once('message', message => {
					child.off('exit', onExit);
					resolve(message);
				});
			}),
		async end() {
			if (child.connected) child.disconnect();
			await ended;
		},
	};
}

function inThread(contention: Contention): Contender {
	const thread = new Worker(moduleUrl('trials/contender'), {workerData: contention});
	return {
		send: round => thread.postMessage(round),
		answer: () =>
			new Promise((resolve, reject) => {
				thread.once('error', reject);
				thread.once('message', message => {
					thread.off('error', reject);
					resolve(message);
				});
			}),
		end: async () => void (await thread.terminate()),
	};
}
