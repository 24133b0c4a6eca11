import {moduleUrl} from '../measure/module-url.ts';
import type {Subject} from './subject.ts';

/** Modules of the subjects, each loaded only when it is measured, so that it costs the others nothing. */
const MODULES: Readonly<Record<string, () => Promise<{readonly subject: Subject}>>> = {
	faena: () => import('./faena.ts'),
	ideal: () => import('./ideal.ts'),
	piscina: () => import('./piscina.ts'),
	'piscina-chunks': () => import('./piscina-chunks.ts'),
	tinypool: () => import('./tinypool.ts'),
	workerpool: () => import('./workerpool.ts'),
};

/** Subjects that need the packages of `bench/peers/`, which are not installed with Faena. */
export const PEERS = ['plainjob', 'liteque', 'sidequest', 'bullmq', 'bullmq-sandbox', 'graphile-worker', 'pg-boss', 'bare-postgres', 'faena-postgres'] as const;

export async function load(name: string): Promise<Subject> {
	const module = MODULES[name] ?? (isPeer(name) ? () => import(moduleUrl(`peers/subjects/${name}`).href) : undefined);
	if (!module) throw new Error(`There is no subject ${name}; there are ${[...Object.keys(MODULES), ...PEERS].join(', ')}`);
	return (await module()).subject;
}

export function isPeer(name: string): boolean {
	return PEERS.some(peer => peer === name);
}
