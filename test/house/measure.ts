/** Measures the sources of a checkout: folders, imports, classes and functions. */
import {readdirSync, readFileSync} from 'node:fs';
import {stripTypeScriptTypes} from 'node:module';
import {dirname, join, relative} from 'node:path';
import {type Node, parse} from 'acorn';
import {full} from 'acorn-walk';

export interface Source {
	/** From the root of the checkout. */
	readonly file: string;
	readonly lines: number;
	/** The files of the checkout that it imports, types included. */
	readonly imports: readonly string[];
	readonly classes: readonly {readonly name: string; readonly fields: number; readonly methods: number}[];
	readonly functions: readonly {readonly name: string; readonly lines: number}[];
}

/** Reads the sources in folders of a checkout. Those that are not TypeScript have lines only. */
export function measure(root: string, folders: readonly string[] = ['lib', 'workers']): Source[] {
	return folders
		.flatMap(folder => readdirSync(join(root, folder), {recursive: true, encoding: 'utf8'}).map(name => join(folder, name)))
		.filter(file => /\.(ts|cts|sql)$/.test(file))
		.sort()
		.map(file => ({file, ...measureText(root, file, readFileSync(join(root, file), 'utf8'))}));
}

function measureText(root: string, file: string, text: string): Omit<Source, 'file'> {
	const lines = text.trimEnd().split('\n').length;
	if (!file.endsWith('.ts')) return {lines, imports: [], classes: [], functions: []};
	const imports = [...text.matchAll(/^(?:import|export)\b(?:[^'"`;]*\bfrom)? ?['"](\.[^'"]+)['"]|\bimport\('(\.[^']+)'\)/gm)].map(match =>
		relative(root, join(root, dirname(file), (match[1] ?? match[2]) as string)),
	);
	return {lines, imports, ...definitionsOf(stripTypeScriptTypes(text))};
}

type Definition = Node & {
	readonly id?: {readonly name: string} | null;
	readonly key?: {readonly name: string};
	readonly value?: Node;
	readonly body: {readonly body: readonly Node[]};
};

/** Types are stripped to white space, so lines are those of the source. */
function definitionsOf(text: string): Pick<Source, 'classes' | 'functions'> {
	const [classes, functions]: [{name: string; fields: number; methods: number}[], {name: string; lines: number}[]] = [[], []];
	const linesOf = (node: Node) => text.slice(node.start, node.end).split('\n').length;
	const ofType = (nodes: readonly Node[], type: string) => nodes.filter(node => node.type === type).length;
	// A method's function comes before the method; its name is the method's.
	full(parse(text, {ecmaVersion: 'latest', sourceType: 'module'}), node => {
		const {id, key, value, body} = node as Definition;
		if (node.type === 'ClassDeclaration' || node.type === 'ClassExpression')
			classes.push({name: id?.name ?? '(class)', fields: ofType(body.body, 'PropertyDefinition'), methods: ofType(body.body, 'MethodDefinition')});
		else if (node.type === 'FunctionDeclaration') functions.push({name: id?.name ?? '(default)', lines: linesOf(node)});
		else if (node.type === 'MethodDefinition') functions.push({name: key?.name ?? '(computed)', lines: linesOf(value as Node)});
	});
	return {classes, functions};
}

/** The longest chain of files of which each imports the next. */
export function longestChain(sources: readonly Source[]): string[] {
	const importsOf = new Map(sources.map(({file, imports}) => [file, imports]));
	const known = new Map<string, string[]>();
	const chainFrom = (file: string): string[] => {
		const found = known.get(file);
		if (found) return found;
		// Guards against a circle.
		known.set(file, [file]);
		const chain = [file, ...(importsOf.get(file) ?? []).map(chainFrom).reduce((longest, each) => (each.length > longest.length ? each : longest), [])];
		known.set(file, chain);
		return chain;
	};
	return sources.map(({file}) => chainFrom(file)).reduce((longest, each) => (each.length > longest.length ? each : longest), []);
}
