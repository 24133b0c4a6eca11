/**
 * `npm run messages`: lists the messages that a user can get from the library and the command, each with its place and its error code, so
 * that they can be read as a text. `{name}` stands for a value, `[a | b]` for one of several texts.
 */
import {globSync, readFileSync} from 'node:fs';
import {stripTypeScriptTypes} from 'node:module';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {type AnyNode, type Expression, type Function as FunctionNode, type NewExpression, type Node, type ObjectExpression, type Property, parse} from 'acorn';
import {full, fullAncestor} from 'acorn-walk';

export interface Message {
	readonly line: number;
	/** The error code, or the kind of message if it has none. */
	readonly code: string;
	readonly text: string;
}

/** Functions that get a message first, and the code of what becomes of it. */
const FUNCTIONS: ReadonlyMap<string, string> = new Map(
	Object.entries({
		bad: 'BadOption',
		expected: 'BadOption',
		kind: 'BadOption',
		refuse: 'BadDatabase',
		unreadable: 'BadDatabase',
		printError: 'stderr',
		emitWarning: 'warning',
	}),
);

/** Error classes whose first argument is a message. `FaenaError` has its code before it. */
const CLASSES: ReadonlyMap<string, string> = new Map(
	Object.entries({InputError: 'BadOption', InvalidArgumentError: 'BadOption', Unwritable: 'stderr', TypeError: 'TypeError'}),
);

/** Functions that show a value in a message. */
const VALUES: ReadonlySet<string> = new Set(['show', 'stringify', 'count', 'inLine', 'quoted', 'toJson']);

/** Functions whose texts are no messages: SQL and help. */
const OTHERS: ReadonlySet<string> = new Set(['prepare', 'exec', 'pragma', 'description', 'summary', 'option', 'addOption', 'argument', 'addArgument']);

/** Constants whose texts are no messages either. */
const OTHER_CONSTANTS: ReadonlySet<string> = new Set(['EXAMPLES', 'TRANSITIONS', 'FAILPOINTS', 'RENAMED_OPTIONS']);

/** A text of three words is taken for a message, even if it is not seen where it goes. */
const WORDS = /[\p{L}']+[,;:.]? [\p{L}']+[,;:.]? [\p{L}']/u;

/** The messages of a source file. */
export function messagesOf(source: string): Message[] {
	return new File(stripTypeScriptTypes(source)).messages();
}

class File {
	readonly #source: string;
	readonly #program: AnyNode;
	readonly #parents = new Map<Node, Node>();
	/** Texts that are part of a message that was found. */
	readonly #seen = new Set<Node>();

	constructor(source: string) {
		this.#source = source;
		this.#program = parse(source, {ecmaVersion: 'latest', sourceType: 'module', locations: true});
		fullAncestor(this.#program, (node, _, ancestors) => {
			const parent = ancestors.at(-2);
			if (parent) this.#parents.set(node, parent);
		});
	}

	messages(): Message[] {
		const sinks = this.#find(node => sinkOf(node));
		const found = sinks.map(sink => this.#toMessage(sink));
		for (const [, node] of sinks) this.#seen.add(node);
		const others = this.#find(node => (this.#isUnseenText(node) ? [this.#codeBeside(node), node] : undefined));
		const texts = others.map(other => this.#toMessage(other));
		// A text that was rendered as a part of another one is not listed by itself.
		found.push(...texts.filter((_, index) => !this.#seen.has((others[index] as Sink)[1])));
		return found.filter(({text}) => /\p{L}{2}/u.test(withoutValues(text))).toSorted((a, b) => a.line - b.line);
	}

	#find(sinkAt: (node: AnyNode) => Sink | undefined): Sink[] {
		const sinks: Sink[] = [];
		full(this.#program, node => {
			const sink = sinkAt(node as AnyNode);
			if (sink) sinks.push(sink);
		});
		return sinks;
	}

	#toMessage([code, node]: Sink): Message {
		const text = node.type === 'Identifier' ? this.#partOf(node as AnyNode) : this.#textOf(node as AnyNode);
		return {line: node.loc?.start.line ?? 0, code, text};
	}

	#isUnseenText(node: Node): boolean {
		if (this.#seen.has(node) || !isText(node as AnyNode)) return false;
		if (!WORDS.test(this.#sourceOf(node).replaceAll(/\$\{[^}]*\}/g, 'value'))) return false;
		for (let parent = this.#parentOf(node); parent; parent = this.#parentOf(parent))
			if (this.#seen.has(parent) || isText(parent) || isOther(parent)) return false;
		return true;
	}

	/** The error code that stands in the same list or call as a text. */
	#codeBeside(node: Node): string {
		const parent = this.#parentOf(node);
		const code = parent && /'((?:[A-Z][a-z]+){2,})'/.exec(this.#sourceOf(parent))?.[1];
		return code ?? '-';
	}

	/** The text that an expression makes. */
	#textOf(node: AnyNode): string {
		switch (node.type) {
			case 'Literal':
				return String(node.value);
			case 'TemplateLiteral':
				return node.quasis
					.map(({value}, index) => (value.cooked ?? '') + (index < node.expressions.length ? this.#partOf(node.expressions[index] as AnyNode) : ''))
					.join('');
			case 'BinaryExpression':
				return node.operator === '+' ? this.#partOf(node.left as AnyNode) + this.#partOf(node.right as AnyNode) : this.#valueOf(node);
			case 'ConditionalExpression':
				return oneOf([this.#partOf(node.consequent as AnyNode), this.#partOf(node.alternate as AnyNode)]);
			case 'LogicalExpression':
				return oneOf(node.operator === '&&' ? [this.#partOf(node.right as AnyNode), ''] : [node.left, node.right].map(each => this.#partOf(each as AnyNode)));
			case 'ArrowFunctionExpression':
			case 'FunctionDeclaration':
				return oneOf(returnsOf(node).map(each => this.#partOf(each as AnyNode)));
			case 'ObjectExpression':
				return oneOf(node.properties.flatMap(each => (each.type === 'Property' ? [this.#partOf(each.value as AnyNode)] : [])));
			case 'AwaitExpression':
				return this.#textOf(node.argument as AnyNode);
			default:
				return this.#valueOf(node);
		}
	}

	/** A part of a text: the text itself if it is written in this file, or else a value. */
	#partOf(node: AnyNode): string {
		this.#seen.add(node);
		if (isText(node) || node.type === 'ConditionalExpression' || node.type === 'LogicalExpression' || node.type === 'BinaryExpression')
			return this.#textOf(node);
		const declared = this.#declarationOf(node);
		if (!declared || this.#following.has(declared)) return this.#valueOf(node);
		this.#following.add(declared);
		const text = this.#textOf(declared);
		this.#following.delete(declared);
		if (!/[\p{L}']{2,} [\p{L}']{2,}/u.test(withoutValues(text))) return this.#valueOf(node);
		this.#seen.add(declared);
		return text;
	}

	/** Declarations that are being followed, since a function may call itself. */
	readonly #following = new Set<Node>();

	#valueOf(node: AnyNode): string {
		const [shown] = node.type === 'CallExpression' && VALUES.has(functionName(node.callee)) ? node.arguments : [];
		return `{${this.#sourceOf(shown ?? node)
			.replaceAll(/\s+/g, ' ')
			.replaceAll(/[{}]/g, '')}}`;
	}

	/** What a name stands for, a call runs, or a member is taken from, if this file declares it. */
	#declarationOf(node: AnyNode): AnyNode | undefined {
		const name = nameOf(node);
		if (name === undefined || VALUES.has(name)) return undefined;
		for (let scope = this.#parentOf(node); scope; scope = this.#parentOf(scope)) {
			const found = declaredIn(scope, name);
			if (found) return found;
			if ('params' in scope && scope.params.some(param => this.#sourceOf(param).match(/\w+/)?.[0] === name)) return undefined;
		}
		return undefined;
	}

	#parentOf(node: Node): AnyNode | undefined {
		return this.#parents.get(node) as AnyNode | undefined;
	}

	#sourceOf({start, end}: Node): string {
		return this.#source.slice(start, end);
	}
}

function isOther(node: AnyNode): boolean {
	if (node.type === 'CallExpression') return OTHERS.has(functionName(node.callee));
	return node.type === 'VariableDeclarator' && node.id.type === 'Identifier' && OTHER_CONSTANTS.has(node.id.name);
}

function nameOf(node: AnyNode): string | undefined {
	if (node.type === 'Identifier') return node.name;
	if (node.type === 'CallExpression') return nameOf(node.callee as AnyNode);
	return node.type === 'MemberExpression' && node.computed ? nameOf(node.object as AnyNode) : undefined;
}

function declaredIn(scope: AnyNode, name: string): AnyNode | undefined {
	const statements = scope.type === 'Program' || scope.type === 'BlockStatement' ? scope.body : scope.type === 'SwitchCase' ? scope.consequent : [];
	for (const statement of statements) {
		const declaration = statement.type === 'ExportNamedDeclaration' ? statement.declaration : statement;
		if (declaration?.type === 'FunctionDeclaration' && declaration.id.name === name) return declaration;
		if (declaration?.type !== 'VariableDeclaration' || declaration.kind !== 'const') continue;
		const found = declaration.declarations.find(({id}) => id.type === 'Identifier' && id.name === name);
		if (found?.init) return found.init as AnyNode;
	}
	return undefined;
}

type Sink = readonly [code: string, message: Node];

/** The code and the expression of a message, if the node has one. */
function sinkOf(node: AnyNode): Sink | undefined {
	switch (node.type) {
		case 'NewExpression':
			return sinkOfNew(node);
		case 'CallExpression': {
			const code = FUNCTIONS.get(functionName(node.callee));
			const [message] = node.arguments;
			return code !== undefined && message ? [code, message] : undefined;
		}
		case 'ObjectExpression': {
			const message = propertyOf(node, 'message');
			const name = propertyOf(node, 'code') ?? propertyOf(node, 'name');
			return message && name?.type === 'Literal' ? [String(name.value), message] : undefined;
		}
		default:
			return undefined;
	}
}

function sinkOfNew({callee, arguments: [first, second]}: NewExpression): Sink | undefined {
	const name = functionName(callee);
	if (name === 'FaenaError') return second && [first?.type === 'Literal' ? String(first.value) : name, second];
	const code = CLASSES.get(name);
	return code !== undefined && first ? [code, first] : undefined;
}

function functionName(callee: Node): string {
	const node = callee as AnyNode;
	if (node.type === 'MemberExpression') return functionName(node.property);
	return node.type === 'Identifier' ? node.name : '';
}

function propertyOf({properties}: ObjectExpression, name: string): Expression | undefined {
	const property = properties.find((each): each is Property => each.type === 'Property' && each.key.type === 'Identifier' && each.key.name === name);
	return property?.shorthand ? undefined : (property?.value as Expression | undefined);
}

function returnsOf(node: FunctionNode): Node[] {
	if (node.body.type !== 'BlockStatement') return [node.body];
	const returned: Node[] = [];
	full(node.body, each => {
		if (each.type === 'ReturnStatement' && 'argument' in each && each.argument) returned.push(each.argument as Node);
	});
	return returned;
}

function isText(node: AnyNode): boolean {
	return node.type === 'TemplateLiteral' || (node.type === 'Literal' && typeof node.value === 'string');
}

function withoutValues(text: string): string {
	return text.replaceAll(/\{[^{}]*\}/g, '');
}

/** For instance `[a | b]`, or `[a]` for a text that may be left out. */
function oneOf(texts: readonly string[]): string {
	const different = [...new Set(texts.filter(text => text !== '' && text !== '{undefined}'))];
	return different.length === 1 && texts.length === 1 ? (different[0] as string) : `[${different.join(' | ')}]`;
}

/** The messages of all sources, by path. */
export function allMessages(): Map<string, Message[]> {
	const root = fileURLToPath(new URL('..', import.meta.url));
	const paths = globSync('{lib,workers}/**/*.ts', {cwd: root, exclude: ['**/*.sql.ts']}).toSorted();
	return new Map(paths.map(path => [path, messagesOf(readFileSync(join(root, path), 'utf8'))]));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
	for (const [path, messages] of allMessages())
		for (const {line, code, text} of messages) console.log(`${path}:${line}  ${code}\n    ${text.replaceAll('\n', '\n    ')}`);
}
