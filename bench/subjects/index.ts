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

export async function load(name: string): Promise<Subject> {
	const module = MODULES[name];
	if (!module) throw new Error(`There is no subject ${name}; there are ${Object.keys(MODULES).join(', ')}`);
	return (await module()).subject;
}
