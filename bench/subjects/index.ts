import {moduleUrl} from '../measure/module-url.ts';
import type {Subject} from './subject.ts';

/** Modules of the subjects, loaded only where they are measured: a peer must not cost the others anything. */
const MODULES: Readonly<Record<string, () => Promise<{readonly subject: Subject}>>> = {
	faena: () => import('./faena.ts'),
	ideal: () => import('./ideal.ts'),
	sqlite: () => import('./sqlite.ts'),
	piscina: () => import('./piscina.ts'),
	'piscina-chunks': () => import('./piscina-chunks.ts'),
	tinypool: () => import('./tinypool.ts'),
	workerpool: () => import('./workerpool.ts'),
};

/** In a package of their own, that is neither compiled nor installed with this one (`bench/peers/`). */
export const PEERS = ['plainjob', 'liteque', 'sidequest', 'bullmq', 'bullmq-sandbox', 'graphile-worker', 'pg-boss', 'bare-postgres'] as const;

export async function load(name: string): Promise<Subject> {
	const module = MODULES[name] ?? (isPeer(name) ? () => import(moduleUrl(`peers/subjects/${name}`).href) : undefined);
	if (!module) throw new Error(`There is no subject ${name}; there are ${[...Object.keys(MODULES), ...PEERS].join(', ')}`);
	return (await module()).subject;
}

export function isPeer(name: string): boolean {
	return PEERS.some(peer => peer === name);
}
