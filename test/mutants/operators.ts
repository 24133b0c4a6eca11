import {stripTypeScriptTypes} from 'node:module';
import {type AnyNode, type Expression, type Options, parse} from 'acorn';
import {full} from 'acorn-walk';
import {sqlMutationsOf} from './sql-operators.ts';

/** One small change of a source file. Comments, types, and strings but for those of SQL are never changed. */
export interface Mutation {
	readonly operator: keyof typeof OPERATORS | `SQL: ${string}`;
	/** Where the replaced text starts and ends, in UTF-16 units. */
	readonly start: number;
	readonly end: number;
	readonly put: string;
}

/** The text from `start` to `end` becomes `put`. */
type Edit = readonly [start: number, end: number, put: string];

/** What an operator makes of one node of the syntax tree. */
type Operator = (node: AnyNode, source: string) => Edit | undefined;

const COMPARISONS = {'<': '<=', '<=': '<', '>': '>=', '>=': '>', '===': '!==', '!==': '===', '==': '!=', '!=': '=='};
const ARITHMETIC = {'+': '-', '-': '+', '*': '/', '/': '*', '%': '*', '&': '|', '|': '&', '<<': '>>', '>>': '<<', '>>>': '<<', '^': '&', '**': '*'};
const ASSIGNMENTS = {'+=': '-=', '-=': '+=', '*=': '/=', '/=': '*=', '|=': '&=', '&=': '|=', '??=': '='};
const METHODS = {min: 'max', max: 'min', some: 'every', every: 'some', floor: 'ceil', ceil: 'floor', push: 'unshift', shift: 'pop', pop: 'shift'};
const DROPPED_CALLS = new Set(['filter', 'slice', 'sort', 'toSorted', 'reverse', 'trim', 'catch']);

const OPERATORS = {
	'comparison flipped': (node, source) => (node.type === 'BinaryExpression' ? replaceOperator(node, COMPARISONS, source) : undefined),
	'arithmetic flipped': (node, source) =>
		node.type === 'BinaryExpression' && !isText(node.left) && !isText(node.right) ? replaceOperator(node, ARITHMETIC, source) : undefined,
	'assignment flipped': (node, source) => (node.type === 'AssignmentExpression' ? replaceOperator(node, ASSIGNMENTS, source) : undefined),
	'step flipped': (node, source) =>
		node.type === 'UpdateExpression' ? [node.start, node.end, textOf(node, source).replace(node.operator, node.operator === '++' ? '--' : '++')] : undefined,
	'&& and || flipped': (node, source) => (node.type === 'LogicalExpression' ? replaceOperator(node, {'&&': '||', '||': '&&'}, source) : undefined),
	'fallback removed': (node, source) =>
		node.type === 'LogicalExpression' && node.operator === '??' ? [node.start, node.end, `(${textOf(node.left, source)})`] : undefined,
	'condition negated': (node, source) => {
		const isStatement = node.type === 'IfStatement' || node.type === 'WhileStatement' || node.type === 'DoWhileStatement' || node.type === 'ForStatement';
		return isStatement && node.test ? [node.test.start, node.test.end, `!(${textOf(node.test, source)})`] : undefined;
	},
	'branches swapped': (node, source) =>
		node.type === 'ConditionalExpression'
			? [node.start, node.end, `(${textOf(node.test, source)}) ? (${textOf(node.alternate, source)}) : (${textOf(node.consequent, source)})`]
			: undefined,
	'sign removed': (node, source) =>
		node.type === 'UnaryExpression' && '!-'.includes(node.operator) ? [node.start, node.end, ` ${textOf(node.argument, source)}`] : undefined,
	'number changed': node => (node.type === 'Literal' && typeof node.value === 'number' ? [node.start, node.end, `(${node.value + 1})`] : undefined),
	'boolean flipped': node => (node.type === 'Literal' && typeof node.value === 'boolean' ? [node.start, node.end, String(!node.value)] : undefined),
	'statement removed': node => (isRemovable(node) ? [node.start, node.end, ';'] : undefined),
	'await removed': (node, source) => (node.type === 'AwaitExpression' ? [node.start, node.end, `(${textOf(node.argument, source)})`] : undefined),
	'method flipped': node => {
		if (node.type !== 'MemberExpression' || node.property.type !== 'Identifier' || node.computed) return;
		const {start, end, name} = node.property;
		return Object.hasOwn(METHODS, name) ? [start, end, METHODS[name as keyof typeof METHODS]] : undefined;
	},
	'call dropped': (node, source) => {
		if (node.type !== 'CallExpression' || node.callee.type !== 'MemberExpression' || node.callee.property.type !== 'Identifier') return;
		return DROPPED_CALLS.has(node.callee.property.name) ? [node.start, node.end, `(${textOf(node.callee.object, source)})`] : undefined;
	},
} satisfies Readonly<Record<string, Operator>>;

const PARSER: Options = {ecmaVersion: 'latest', sourceType: 'module'};

/** The JavaScript that Node makes of a TypeScript source: types become blanks, so that each place keeps its line and column. */
export function toJavaScript(typeScript: string): string {
	return stripTypeScriptTypes(typeScript);
}

/** All mutations of the statements in a JavaScript module whose texts are SQL, in the order of their places. */
export function mutationsOfStatements(source: string): Mutation[] {
	const mutations: Mutation[] = [];
	const mutateText = ({start}: AnyNode, text: string, from: number) => {
		const isSql = /\b(select|insert into|update|delete from|create|where|order by)\b/i.test(text);
		if (isSql) mutations.push(...sqlMutationsOf(text).map(each => ({...each, start: start + from + each.start, end: start + from + each.end})));
	};
	full(parse(source, PARSER), node => {
		if (node.type === 'TemplateElement') mutateText(node as AnyNode, source.slice(node.start, node.end), 0);
		if (node.type === 'Literal' && typeof (node as unknown as {value: unknown}).value === 'string')
			mutateText(node as AnyNode, source.slice(node.start + 1, node.end - 1), 1);
	});
	return mutations.sort((one, other) => one.start - other.start || one.end - other.end);
}

/** All mutations of a JavaScript module, in the order of their places. */
export function mutationsOf(source: string): Mutation[] {
	const mutations: Mutation[] = [];
	full(parse(source, PARSER), node => {
		for (const [operator, mutate] of Object.entries(OPERATORS) as [Mutation['operator'], Operator][]) {
			const edit = mutate(node as AnyNode, source);
			if (edit) mutations.push({operator, start: edit[0], end: edit[1], put: edit[2]});
		}
	});
	return mutations.sort((one, other) => one.start - other.start || one.end - other.end);
}

export function mutate(source: string, {start, end, put}: Mutation): string {
	return source.slice(0, start) + put + source.slice(end);
}

function textOf({start, end}: AnyNode, source: string): string {
	return source.slice(start, end);
}

function replaceOperator(
	{left, operator}: {readonly left: AnyNode; readonly operator: string},
	replacements: Readonly<Record<string, string>>,
	source: string,
): Edit | undefined {
	const put = replacements[operator];
	if (put === undefined) return undefined;
	const start = source.indexOf(operator, left.end);
	return [start, start + operator.length, put];
}

/** Joining texts is no arithmetic. */
function isText(node: Expression | AnyNode): boolean {
	return (
		node.type === 'TemplateLiteral' || (node.type === 'Literal' && typeof node.value === 'string') || (node.type === 'BinaryExpression' && isText(node.left))
	);
}

function isRemovable(node: AnyNode): boolean {
	if (node.type === 'ExpressionStatement') return node.directive === undefined;
	return (
		node.type === 'ThrowStatement' || node.type === 'ContinueStatement' || node.type === 'BreakStatement' || (node.type === 'ReturnStatement' && !node.argument)
	);
}
