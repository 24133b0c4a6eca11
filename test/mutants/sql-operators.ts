import type {Mutation} from './operators.ts';

const FLIPPED: Readonly<Record<string, string>> = {
	...{'<': '<=', '<=': '<', '>': '>=', '>=': '>', '=': '<>', '<>': '='},
	...{'+': '-', '-': '+', '*': '/', '/': '*', '&': '|'},
	...{and: 'or', or: 'and', true: 'false', false: 'true', min: 'max', max: 'min', least: 'greatest', greatest: 'least', desc: 'asc'},
	...{union: 'intersect', left: 'inner'},
};

/** A token: a comment, a quoted text or name, a constant of the .sql files, an operator, a number, a word. */
const TOKENS = /--[^\n]*|'(?:[^']|'')*'|"[^"]*"|@[A-Z_]+@|\$\$|::|:=|\.\.|->>?|=>|\|\||@>|<@|&&|\?[|&]?|<=|>=|<>|[<>=+*/&-]|\d+(?:\.\d+)?|[a-z_]\w*/gi;

/** Ends of statements that can be left out of a function. */
const REMOVABLE = /^([\t ]*(?:perform|delete from|update|insert into) [^;]*;)/gim;
const CONDITION = /\b(?:if|elsif|while) ([^;]*?) (?:then|loop)\b/gi;

/** All mutations of a text in SQL or PL/pgSQL, in the order of their places. Comments and quoted texts are never changed. */
export function sqlMutationsOf(sql: string): Mutation[] {
	const tokens = [...sql.matchAll(TOKENS)].map(({0: token, index}) => ({text: token.toLowerCase(), start: index, end: index + token.length}));
	const quoted = tokens.filter(({text}) => /^(--|'|")/.test(text));
	const isCode = (at: number) => !quoted.some(({start, end}) => at >= start && at < end);
	const assigning = assignmentsIn(sql, tokens);
	const ofTokens = tokens.flatMap((token, index): Mutation[] => {
		const {start, end} = token;
		const change = assigning.has(start) ? undefined : changeOf(token, tokens[index - 1]?.text ?? '', tokens[index + 1]?.text ?? '', sql);
		return change ? [{...change, start, end}] : [];
	});
	const ofStatements = [...sql.matchAll(REMOVABLE)].map(
		({0: statement, index}): Mutation => ({operator: 'SQL: statement removed', start: index, end: index + statement.length, put: 'null;'}),
	);
	const ofConditions = [...sql.matchAll(CONDITION)].map(({0: whole, 1: condition = '', index}): Mutation => {
		const start = index + whole.indexOf(condition);
		return {operator: 'SQL: condition negated', start, end: start + condition.length, put: `not (${condition})`};
	});
	const all = [...ofTokens, ...[...ofStatements, ...ofConditions].filter(({start, put}) => isCode(start) && !/exists\)$/i.test(put))];
	return all.sort((one, other) => one.start - other.start || one.end - other.end);
}

function changeOf({text, start, end}: Token, before: string, next: string, sql: string): Pick<Mutation, 'operator' | 'put'> | undefined {
	if (/^\d/.test(text)) {
		const isPart = /[\w.]/.test(sql[start - 1] ?? '') || before === 'limit';
		return isPart ? undefined : {operator: 'SQL: number changed', put: `${Number(text) + 1}`};
	}
	if (text === 'not') return next === 'null' && before !== 'is' ? undefined : {operator: 'SQL: not removed', put: ''};
	const put = Object.hasOwn(FLIPPED, text) && isOperator(text, before, sql.slice(end)) ? FLIPPED[text] : undefined;
	return put === undefined ? undefined : {operator: 'SQL: flipped', put};
}

interface Token {
	readonly text: string;
	readonly start: number;
	readonly end: number;
}

/** Where `=` assigns: in the list of an update, up to its `where`. */
function assignmentsIn(sql: string, tokens: readonly Token[]): ReadonlySet<number> {
	const found = new Set<number>();
	const depthAt = (at: number, from: number) => [...sql.slice(from, at)].reduce((depth, each) => depth + (each === '(' ? 1 : each === ')' ? -1 : 0), 0);
	let list: number | undefined;
	for (const {text, start, end} of tokens) {
		if (text === 'set') list = end;
		if (list === undefined) continue;
		const depth = depthAt(start, list);
		if (depth < 0 || (depth === 0 && /^(where|from|returning|\$\$)$/.test(text)) || sql.slice(list, start).includes(';')) list = undefined;
		else if (depth === 0 && text === '=') found.add(start);
	}
	return found;
}

/** `*` also stands for all columns, `-` also negates, and names of functions are also names of columns. */
function isOperator(text: string, before: string, rest: string): boolean {
	if (text === '*') return /\w$/.test(before) && !/^(select|count|returning)$/.test(before) && !/^\s*(from|into|\)|;|,)/i.test(rest);
	if (text === '-' || text === '+') return /[\w@]$/.test(before);
	if (/^(min|max|least|greatest)$/.test(text)) return rest.startsWith('(');
	return text !== 'left' || /^\s+join/i.test(rest);
}
